// Sounds as .wav files of one channel and 16 bits, made by the page itself.

const HEADER_BYTES = 44;
const LARGEST = 32767;

/** The samples of a sound file that the browser can read, mixed to one channel. */
export async function decoded(file) {
  const context = new OfflineAudioContext(1, 1, 48000);
  const sound = await context.decodeAudioData(await file.arrayBuffer());
  const samples = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel += 1) {
    sound.getChannelData(channel).forEach((value, index) => { samples[index] += value / sound.numberOfChannels; });
  }
  return { samples, rate: sound.sampleRate };
}

/** A .wav file of samples at `hz`, at the rate wanted where the browser can resample to it, else at its own. */
export async function toWav(samples, hz, wanted) {
  const { values, rate } = await resampled(samples, hz, wanted);
  return { blob: new Blob([wavBytes(values, rate)], { type: "audio/wav" }), rate };
}

/** The loudest of each of `count` stretches, for a picture of the sound. */
export function peaks(samples, count = 200) {
  const width = Math.max(1, Math.ceil(samples.length / count));
  const found = [];
  for (let start = 0; start < samples.length; start += width) {
    found.push(samples.subarray(start, start + width).reduce((most, one) => Math.max(most, Math.abs(one)), 0));
  }
  return found;
}

async function resampled(samples, hz, wanted) {
  if (hz === wanted || !samples.length) return { values: samples, rate: hz };
  try {
    const context = new OfflineAudioContext(1, Math.ceil((samples.length * wanted) / hz), wanted);
    const buffer = new AudioBuffer({ length: samples.length, sampleRate: hz });
    buffer.copyToChannel(samples, 0);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(context.destination);
    source.start();
    return { values: (await context.startRendering()).getChannelData(0), rate: wanted };
  } catch {
    return { values: samples, rate: hz }; // a rate that browsers do not make: the pack's own step resamples
  }
}

function wavBytes(samples, rate) {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + 2 * samples.length));
  const ascii = (place, text) => [...text].forEach((letter, index) => view.setUint8(place + index, letter.charCodeAt(0)));
  ascii(0, "RIFF");
  view.setUint32(4, HEADER_BYTES - 8 + 2 * samples.length, true);
  ascii(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of this chunk
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes of a sample
  view.setUint16(34, 16, true); // bits of a sample
  ascii(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((one, index) => view.setInt16(
    HEADER_BYTES + 2 * index, Math.round(Math.max(-1, Math.min(1, one)) * LARGEST), true,
  ));
  return view.buffer;
}
