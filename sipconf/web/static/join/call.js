// One call: the peer connection, the POST that opens it and the events that follow. Knows no element of the page.
//
// Tells of itself by events: "state" {state, ...} (as the server says it, also "connecting" and "unsteady"),
// "people" [person, ...], "code-refused", "voices" (a stream to hear), and at its end once "over" {reason} or
// "failed" {notice, detail, seconds, lost}.

const GATHERING_MS = 1000; // candidates of slow networks are not waited for: the server learns addresses by itself
const CONNECTING_MS = 15000;
const TONE_MS = 100;
const PAUSE_MS = 70;
const LOST_MS = 8000; // "disconnected" often mends itself

export class Call extends EventTarget {
  #extension;
  #name;
  #peer = new RTCPeerConnection({ bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require' });
  #sender;
  #url = '';
  #events = null;
  #people = new Map();
  #connected = false;
  #over = false;
  #timer = 0;

  constructor(extension, name, stream) {
    super();
    this.#extension = extension;
    this.#name = name;
    const [track] = stream.getAudioTracks();
    this.#sender = this.#peer.addTrack(track, stream);
    this.#peer.addEventListener('track', (event) => this.#tell('voices', event.streams[0] ?? new MediaStream([event.track])));
    this.#peer.addEventListener('connectionstatechange', () => this.#connectionChanged());
  }

  get connected() {
    return this.#connected && !this.#over;
  }

  /** Offer the call. Whatever goes wrong is told by "failed". */
  async begin() {
    try {
      await this.#peer.setLocalDescription(await this.#peer.createOffer());
      await this.#gathered();
      const answer = await this.#post(this.#peer.localDescription.sdp);
      if (this.#over) return this.#release(); // hung up meanwhile
      this.#tell('state', { state: 'connecting' });
      await this.#peer.setRemoteDescription({ type: 'answer', sdp: answer });
      this.#timer = setTimeout(() => this.#fail({ notice: 'noPath' }), CONNECTING_MS);
    } catch (error) {
      this.#fail(error instanceof Refusal ? error.what : { notice: 'unreachable', detail: String(error) });
    }
  }

  /** Key digits, * and #. */
  press(keys) {
    const { dtmf } = this.#sender;
    if (!this.connected || !dtmf?.canInsertDTMF) return false;
    dtmf.insertDTMF(dtmf.toneBuffer + keys, TONE_MS, PAUSE_MS); // what is still to be sent would be dropped otherwise
    return true;
  }

  /** Speak from another microphone from now on. */
  async use(stream) {
    await this.#sender.replaceTrack(stream.getAudioTracks()[0]);
  }

  hangUp() {
    if (!this.#over) this.#end(() => this.#release());
  }

  // --- opening --------------------------------------------------------------------------------------------------
  #gathered() {
    return new Promise((resolve) => {
      const look = () => this.#peer.iceGatheringState === 'complete' && resolve();
      this.#peer.addEventListener('icegatheringstatechange', look);
      setTimeout(resolve, GATHERING_MS);
      look();
    });
  }

  async #post(offer) {
    const response = await fetch(`/join/${encodeURIComponent(this.#extension)}`, {
      method: 'POST',
      body: offer,
      headers: { 'Content-Type': 'application/sdp', 'Display-Name': encodeURIComponent(this.#name) },
    });
    if (response.status !== 201) throw await refusalOf(response);
    this.#url = response.headers.get('Location');
    return response.text();
  }

  #connectionChanged() {
    const state = this.#peer.connectionState;
    clearTimeout(this.#timer);
    if (state === 'connected') {
      this.#connected = true;
      // Coming for the events tells the server that it is heard from now on: so no prompt is lost.
      if (this.#events === null) this.#follow();
      else this.#tell('state', { state: 'steady' });
    } else if (state === 'disconnected') {
      this.#tell('state', { state: 'unsteady' });
      this.#timer = setTimeout(() => this.#lose(), LOST_MS);
    } else if (state === 'failed') {
      this.#lose();
    }
  }

  // --- what the server tells ------------------------------------------------------------------------------------
  #follow() {
    this.#events = new EventSource(`${this.#url}/events`);
    const on = (name, act) => this.#events.addEventListener(name, (event) => act(JSON.parse(event.data)));
    on('state', (told) => {
      if (told.state !== 'talking') this.#setPeople([]);
      this.#tell('state', told);
    });
    on('participants', (told) => this.#setPeople(told.participants));
    on('participant', (person) => {
      this.#people.set(person.id, person);
      this.#tellPeople();
    });
    on('left', ({ id }) => this.#people.delete(id) && this.#tellPeople());
    on('code-refused', () => this.#tell('code-refused'));
    on('over', ({ reason }) => this.#ended(reason));
    this.#events.addEventListener('error', () => {
      // A stream that is only interrupted comes back by itself; one that is refused belongs to no call any more.
      if (this.#events.readyState === EventSource.CLOSED) this.#ended('');
    });
  }

  #setPeople(people) {
    this.#people = new Map(people.map((person) => [person.id, person]));
    this.#tellPeople();
  }

  #tellPeople() {
    this.#tell('people', [...this.#people.values()]);
  }

  // --- the end --------------------------------------------------------------------------------------------------
  #lose() {
    this.#fail(this.#connected ? { notice: 'lost', lost: true } : { notice: 'noPath' });
  }

  #ended(reason) {
    this.#end(() => {
      this.#peer.close();
      this.#tell('over', { reason });
    });
  }

  #fail(what) {
    this.#end(() => {
      this.#release();
      this.#tell('failed', what);
    });
  }

  #end(then) {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#events?.close();
    then();
  }

  /** Tell the server, then let go of the media: were it the other way round, the call would seem to have broken off. */
  async #release() {
    try {
      // keepalive: also while the page goes away
      if (this.#url) await fetch(this.#url, { method: 'DELETE', keepalive: true });
    } catch {
      // The server notices in seconds by itself.
    }
    this.#peer.close();
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

class Refusal extends Error {
  constructor(what) {
    super(what.detail);
    this.what = what;
  }
}

async function refusalOf(response) {
  let detail = `${response.status} ${response.statusText}`;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch {
    // No problem document: something between us and the server has answered.
  }
  const seconds = Number.parseInt(response.headers.get('Retry-After') ?? '', 10) || 0;
  return new Refusal({ notice: 'refused', detail, seconds });
}
