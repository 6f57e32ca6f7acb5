// What a page hears, as samples that the test fetches and measures: 48 kHz, mono, 16 bits, in pieces of 10 ms.

const RATE = 48000;
const LOUD = 0.01;

export class Ear {
  constructor() {
    this.pieces = [];
    this.marks = {};
  }

  // Begin to listen to a MediaStream, after whatever was heard before.
  async listen(stream) {
    if (!this.context) {
      this.context = new AudioContext({ sampleRate: RATE });
      await this.context.audioWorklet.addModule("recorder.js");
    }
    await this.context.resume();
    this.source?.disconnect();
    this.recorder?.disconnect();
    this.source = this.context.createMediaStreamSource(stream);
    this.recorder = new AudioWorkletNode(this.context, "recorder", { numberOfOutputs: 0, channelCount: 1,
      channelCountMode: "explicit" });
    this.recorder.port.onmessage = (message) => this.take(message.data);
    this.source.connect(this.recorder);
  }

  take({ samples, peak }) {
    this.pieces.push(samples);
    if (peak > LOUD && this.marks.answered && !this.marks.heard) this.marks.heard = performance.now();
  }

  // The next call's figures are its own.
  dialled() {
    this.marks = { dialled: performance.now() };
  }

  answered() {
    this.marks.answered ??= performance.now();
  }

  // How many pieces there are so far.
  position() {
    return this.pieces.length;
  }

  // The samples from this piece on, as base64 of little-endian 16-bit numbers.
  heard(since) {
    const pieces = this.pieces.slice(since);
    const all = new Int16Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    const bytes = new Uint8Array(all.buffer);
    let text = "";
    for (let from = 0; from < bytes.length; from += 0x8000) {
      text += String.fromCharCode(...bytes.subarray(from, from + 0x8000));
    }
    return btoa(text);
  }
}

// Speak with a voice of one's own instead of the microphone's: a tone that swings like syllables.
export function speak(frequency) {
  navigator.mediaDevices.getUserMedia = async () => {
    const context = new AudioContext({ sampleRate: RATE });
    const [tone, swing, depth, level] = [context.createOscillator(), context.createOscillator(), context.createGain(),
      context.createGain()];
    tone.frequency.value = frequency;
    swing.frequency.value = 5;
    level.gain.value = 0.2;
    depth.gain.value = 0.12;
    swing.connect(depth).connect(level.gain);
    const out = context.createMediaStreamDestination();
    tone.connect(level).connect(out);
    tone.start();
    swing.start();
    await context.resume();
    return out.stream;
  };
}
