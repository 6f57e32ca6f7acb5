// A telephone on SIP.js 0.21 with the options and the manners of Odoo's VoIP widget: one call at a time, no trickle,
// digits by RTCDTMFSender only, hold by a re-INVITE with the tracks disabled, transfer by a REFER in the dialog; a second
// call only to ask before a transfer, while the first is on hold.

import { Inviter, Registerer, RegistererState, SessionState, TransportState, UserAgent } from "sip.js";

import { Ear, speak } from "./ear.js";

const EXPIRES = 600;
const PATIENCE = 1000;
const RECONNECTS = 6;
const KEY_MS = 300;

const ear = new Ear();
const tell = ({ message }) => ({ status: message.statusCode, reason: message.reasonPhrase });

class Widget {
  ear = ear;
  speak = speak;
  call = { state: "none" };
  muted = false;
  held = false;
  lost = 0;

  // Connect; register() follows.
  async start({ server, domain, extension, password, origin, onDisconnect = true }) {
    this.domain = domain;
    this.agent = new UserAgent({
      uri: UserAgent.makeURI(`sip:${extension}@${domain}`),
      authorizationUsername: extension,
      authorizationPassword: password,
      hackIpInContact: true,
      sessionDescriptionHandlerFactoryOptions: { iceGatheringTimeout: PATIENCE },
      transportOptions: { server, traceSip: true, keepAliveInterval: 20 },
      userAgentString: "Odoo 19.0 SIP.js/0.21.2",
      logBuiltinEnabled: false,
      logConnector: (level, category, label, content) => console.debug(content),
      delegate: {
        onDisconnect: (error) => error && this.reconnect(),
        onInvite: (invitation) => this.ring(invitation),
      },
    });
    await this.agent.start();
  }

  // Register; the answer's status and reason.
  register() {
    this.registerer ??= new Registerer(this.agent, { expires: EXPIRES });
    return new Promise((resolve) => this.registerer.register({
      requestDelegate: { onAccept: (response) => resolve(tell(response)),
                         onReject: (response) => resolve(tell(response)) },
    }));
  }

  registered() {
    return this.registerer?.state === RegistererState.Registered
      && this.agent.transport.state === TransportState.Connected;
  }

  // 1, 2, 4 ... seconds later; then it registers again.
  async reconnect(attempt = 0) {
    this.lost += 1;
    if (attempt === RECONNECTS) return;
    await new Promise((resolve) => setTimeout(resolve, 2 ** attempt * 1000));
    try {
      await this.agent.reconnect();
    } catch {
      return this.reconnect(attempt + 1);
    }
    await this.register();
  }

  // Dial a number, as it was typed.
  async dial(number) {
    const target = UserAgent.makeURI(`sip:${number.replace(/[-()\s/.\u00ad]/g, "")}@${this.domain}`);
    this.follow(new Inviter(this.agent, target), "calling");
    ear.dialled();
    await this.session.invite({
      requestDelegate: {
        onProgress: (response) => { this.call.progress = tell(response); },
        onAccept: () => ear.answered(),
        onReject: (response) => Object.assign(this.call, tell(response)),
      },
      sessionDescriptionHandlerOptions: { constraints: { audio: true, video: false } },
    });
  }

  ring(invitation) {
    if (this.session) return invitation.reject({ statusCode: 486 });
    this.follow(invitation, "ringing");
    this.call.from = invitation.remoteIdentity.uri.user;
    this.call.name = invitation.remoteIdentity.displayName;
    const call = this.call;
    invitation.delegate = { onCancel: () => { call.cancelled = true; } };
  }

  async answer() {
    ear.dialled();
    ear.answered();
    await this.session.accept({ sessionDescriptionHandlerOptions: { constraints: { audio: true, video: false } } });
  }

  reject(statusCode = 603) {
    return this.session.reject({ statusCode });
  }

  follow(session, state) {
    this.session = session;
    this.muted = this.held = false;
    const call = this.call = { state };
    session.stateChange.addListener((now) => {
      if (now === SessionState.Established) {
        call.state = "talking";
        this.hear(session);
      } else if (now === SessionState.Terminated) {
        call.state = "ended";
        if (this.session === session) this.session = null;
      }
    });
  }

  get peer() {
    return this.session.sessionDescriptionHandler.peerConnection;
  }

  async hear(session) {
    const stream = new MediaStream(session.sessionDescriptionHandler.peerConnection.getReceivers()
      .map((receiver) => receiver.track).filter((track) => track).slice(0, 1));
    const audio = document.getElementById("remote");
    audio.srcObject = stream;
    await Promise.all([audio.play(), ear.listen(stream)]);
  }

  // Key digits one after another, as a finger would; false where one could not be sent.
  async sendDtmf(digits) {
    for (const digit of digits) {
      if (!this.session.sessionDescriptionHandler.sendDtmf(digit)) return false;
      await new Promise((resolve) => setTimeout(resolve, KEY_MS));
    }
    return true;
  }

  setTracks() {
    for (const sender of this.peer.getSenders()) {
      if (sender.track) sender.track.enabled = !this.muted && !this.held;
    }
  }

  mute(on) {
    this.muted = on;
    this.setTracks();
  }

  // Put the call on hold or take it back; the answer's status.
  async hold(on) {
    const answered = new Promise((resolve) => {
      this.session.sessionDescriptionHandlerOptionsReInvite = { hold: on };
      this.session.invite({
        requestDelegate: { onAccept: (response) => resolve(tell(response)),
                           onReject: (response) => resolve(tell(response)) },
        sessionDescriptionHandlerOptions: { hold: on },
      });
    });
    this.held = on;
    this.setTracks();
    return answered;
  }

  // Blind transfer of the other side; the widget hangs up once it is accepted.
  transfer(number) {
    const target = UserAgent.makeURI(`sip:${number}@${this.domain}`);
    return new Promise((resolve) => this.session.refer(target, {
      requestDelegate: {
        onAccept: (response) => {
          resolve(tell(response));
          this.session?.bye();
        },
        onReject: (response) => resolve(tell(response)),
      },
      onNotify: (notification) => {
        this.call.notified = [...(this.call.notified ?? []), notification.request.body];
        notification.accept();
      },
    }));
  }

  // "Ask first": hold the call and dial the second person; what the first call becomes is told as `first`.
  async consult(number) {
    const held = await this.hold(true);
    this.first = { session: this.session, call: this.call };
    await this.dial(number);
    return held;
  }

  // Attended transfer of the first person to the second; the widget hangs up once a NOTIFY says that it is done.
  join() {
    const { session, call } = this.first;
    return new Promise((resolve) => session.refer(this.session, {
      requestDelegate: {
        onAccept: (response) => resolve(tell(response)),
        onReject: (response) => resolve(tell(response)),
      },
      onNotify: (notification) => {
        call.notified = [...(call.notified ?? []), notification.request.body];
        notification.accept();
        if (!notification.request.body.includes("200 OK")) return;
        for (const each of [session, this.session]) {
          if (each?.state === SessionState.Established) each.bye();
        }
      },
    }));
  }

  // A re-INVITE with an ICE restart; the answer's status.
  restartIce() {
    return new Promise((resolve) => this.session.invite({
      requestDelegate: { onAccept: (response) => resolve(tell(response)),
                         onReject: (response) => resolve(tell(response)) },
      sessionDescriptionHandlerOptions: { offerOptions: { iceRestart: true } },
    }));
  }

  async hangup() {
    if (!this.session) return;
    if (this.session.state === SessionState.Established) await this.session.bye();
    else if (this.session instanceof Inviter) await this.session.cancel();
    else await this.session.reject();
  }

  state() {
    return { ...this.call, ...ear.marks, held: this.held, muted: this.muted, lost: this.lost, first: this.first?.call };
  }

  // The codec and the pair in use, as the browser's own statistics have them.
  async path() {
    const found = {};
    const entries = [...(await this.peer.getStats()).values()];
    const by = (id) => entries.find((entry) => entry.id === id) ?? {};
    for (const entry of entries) {
      if (entry.type === "inbound-rtp") {
        const transport = by(entry.transportId);
        const pair = by(transport.selectedCandidatePairId);
        Object.assign(found, { codec: by(entry.codecId).mimeType, packets: entry.packetsReceived,
          lost: entry.packetsLost, concealed: entry.concealedSamples, dtls: transport.dtlsState,
          ufrag: by(pair.localCandidateId).usernameFragment, checked: pair.responsesReceived,
          heardByPair: pair.packetsReceived, answerUfrag: /ice-ufrag:(.*)/.exec(this.peer.remoteDescription.sdp)[1] });
      }
    }
    return found;
  }
}

window.phone = new Widget();
