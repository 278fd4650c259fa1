// A sound: recorded here, or a file. What is sent is a .wav file of one channel at the rate that the pack names.
import { button, h } from "../dom.js";
import { drawPlot } from "../plots.js";
import { Recording, mayRecord } from "../recording.js";
import { say } from "../words.js";
import { decoded, peaks, toWav } from "../wav.js";
import { FieldError, base64, fileChooser } from "./base.js";

const MOST_SECONDS = 60; // of a recording that nobody stops

/** The field of a sound. */
export function soundField(raw, changed) {
  const { rate, seconds = null } = raw.options;
  const told = h("p", { class: "hint", role: "status" });
  const player = h("audio", { controls: true, hidden: true, sayLabel: "soundPlayer" });
  const picture = h("div", { class: "plot", hidden: true });
  const record = button("soundRecord", toggle);
  let file = null;
  let running = null;

  async function take(samples, hz, name) {
    const wav = await toWav(samples, hz, rate);
    file = new File([wav.blob], name, { type: "audio/wav" });
    URL.revokeObjectURL(player.src);
    player.src = URL.createObjectURL(file);
    player.hidden = picture.hidden = false;
    say(told, "text", "soundTold", { seconds: (samples.length / hz).toFixed(1), rate: wav.rate });
    drawPlot(picture, { lines: [{ name: "", values: peaks(samples) }], label: "soundPlot", floor: 0 });
    changed(true);
  }

  async function toggle() {
    try {
      if (running) return await stop();
      const started = await Recording.start();
      running = started;
      say(record, "text", "soundStop");
      say(told, "text", "soundRuns");
      setTimeout(() => { if (running === started) stop(); }, 1000 * (seconds ?? MOST_SECONDS));
    } catch (error) {
      say(told, "text", "soundDenied", { error: error.message });
    }
    return undefined;
  }

  async function stop() {
    const { samples, rate: hz } = await running.stop();
    running = null;
    say(record, "text", "soundRecord");
    if (samples.length) await take(samples, hz, "recording.wav");
    else say(told, "text", "soundEmpty");
  }

  async function choose(chosen) {
    try {
      const { samples, rate: hz } = await decoded(chosen);
      await take(samples, hz, `${chosen.name.replace(/\.[^.]*$/, "")}.wav`);
    } catch {
      say(told, "text", "soundUnread", { name: chosen.name });
    }
  }

  const element = h("fieldset", { class: "plain" },
    h("legend", { say: [seconds === null ? "soundLabel" : "soundLabelCut", { name: raw.name, rate, seconds }] }),
    h("div", { class: "row" }, mayRecord() ? record : h("p", { class: "hint", say: "soundInsecure" })),
    fileChooser("soundFile", "audio/*,.wav", choose), told, player, picture);

  return {
    element,
    async part() {
      if (!file) throw new FieldError("soundMissing", {}, record);
      return { json: base64(file), file, python: JSON.stringify(file.name) };
    },
  };
}
