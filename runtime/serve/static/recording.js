// The microphone, as samples that nothing has compressed.

/** Whether this page may ask for the microphone: only over HTTPS, or from this machine. */
export function mayRecord() {
  return Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode);
}

/** A recording that runs. */
export class Recording {
  /** Ask for the microphone and begin. */
  static async start() {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    const context = new AudioContext();
    await context.audioWorklet.addModule("/page/recorder.js");
    return new Recording(stream, context);
  }

  constructor(stream, context) {
    this.stream = stream;
    this.context = context;
    this.chunks = [];
    this.node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    this.node.port.onmessage = (event) => this.chunks.push(event.data);
    context.createMediaStreamSource(stream).connect(this.node);
  }

  /** End it: the samples, and how many make a second. */
  async stop() {
    for (const track of this.stream.getTracks()) track.stop();
    const { sampleRate } = this.context;
    await this.context.close();
    const samples = new Float32Array(this.chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let place = 0;
    for (const chunk of this.chunks) {
      samples.set(chunk, place);
      place += chunk.length;
    }
    return { samples, rate: sampleRate };
  }
}
