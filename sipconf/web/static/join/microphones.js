// Microphones: which there are, opening one, and how loud it is.

const WISHES = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const NOTICES = {
  NotAllowedError: 'denied', SecurityError: 'denied', NotFoundError: 'missing', OverconstrainedError: 'missing',
  NotReadableError: 'taken', AbortError: 'taken',
};

/** Why no call can be made from here, as the name of a notice; '' where one can. */
export function whatIsMissing() {
  if (!window.isSecureContext) return 'insecure';
  if (!navigator.mediaDevices?.getUserMedia || !window.RTCPeerConnection) return 'unable';
  return '';
}

/** Those that the browser names; without permission it names none. */
export async function microphones() {
  const devices = await navigator.mediaDevices?.enumerateDevices() ?? [];
  return devices.filter((each) => each.kind === 'audioinput' && each.deviceId && each.deviceId !== 'default');
}

/** Open a microphone; id '': the system's own choice, also where the chosen one has gone. */
export async function open(id) {
  const ask = (wishes) => navigator.mediaDevices.getUserMedia({ audio: wishes, video: false });
  if (!id) return ask(WISHES);
  try {
    return await ask({ ...WISHES, deviceId: { exact: id } });
  } catch (error) {
    if (error.name !== 'OverconstrainedError' && error.name !== 'NotFoundError') throw error;
    return ask(WISHES);
  }
}

/** The name of the notice for an error of `open`. */
export function noticeOf(error) {
  return NOTICES[error.name] ?? 'taken';
}

export function close(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** Moves a bar with the level of a stream until it is told to stop. */
export class Meter {
  #bar;
  #context = null;
  #source = null;
  #frame = 0;

  constructor(element) {
    this.#bar = element.querySelector('i');
  }

  show(stream) {
    this.stop();
    this.#context ??= new AudioContext();
    this.#context.resume(); // suspended until the visitor has touched the page
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = 1024;
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let shown = 0;
    const draw = () => {
      analyser.getFloatTimeDomainData(samples);
      shown = Math.max(levelOf(samples), shown * 0.9); // up at once, down slowly, as meters do
      this.#bar.style.transform = `scaleX(${shown.toFixed(3)})`;
      this.#frame = requestAnimationFrame(draw);
    };
    draw();
  }

  stop() {
    cancelAnimationFrame(this.#frame);
    this.#source?.disconnect();
    this.#source = null;
    this.#bar.style.transform = 'scaleX(0)';
  }
}

/** 0 at -60 dBFS and below, 1 at -6 and above. */
function levelOf(samples) {
  let power = 0;
  for (const sample of samples) power += sample * sample;
  const decibels = 10 * Math.log10(power / samples.length + 1e-12);
  return Math.min(Math.max((decibels + 60) / 54, 0), 1);
}
