// Hands the samples of its input to the page, 10 ms at a time. (48 samples to a millisecond; a block has 128.)

const PIECE = 480;

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.begin();
  }

  begin() {
    this.samples = new Int16Array(PIECE);
    this.filled = 0;
    this.peak = 0;
  }

  process([input]) {
    for (const sample of input[0] ?? []) {
      const level = Math.max(-1, Math.min(1, sample));
      this.peak = Math.max(this.peak, Math.abs(level));
      this.samples[this.filled++] = Math.round(level * 32767);
      if (this.filled === PIECE) {
        this.port.postMessage({ samples: this.samples, peak: this.peak }, [this.samples.buffer]);
        this.begin();
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
