// A telephone on JsSIP, with JsSIP's own defaults: session timers, trickle never, DTMF by RTP or by INFO.

import JsSIP from "jssip";

import { Ear, speak } from "./ear.js";

const KEY_MS = 300;
const ear = new Ear();

class Phone {
  ear = ear;
  speak = speak;
  call = { state: "none" };
  answers = [];

  async start({ server, domain, extension, password }) {
    this.domain = domain;
    this.agent = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(server)],
      uri: `sip:${extension}@${domain}`,
      password,
      register: false,
      connection_recovery_min_interval: 1,
    });
    this.agent.on("newRTCSession", ({ session, originator }) => {
      if (originator === "remote") this.ring(session);
    });
    const connected = new Promise((resolve) => this.agent.once("connected", resolve));
    this.agent.start();
    await connected;
  }

  register() {
    return new Promise((resolve) => {
      this.agent.once("registered", ({ response }) => resolve(
        { status: response.status_code, reason: response.reason_phrase }));
      this.agent.once("registrationFailed", ({ response, cause }) => resolve(
        { status: response?.status_code, reason: response?.reason_phrase ?? cause }));
      this.agent.register();
    });
  }

  registered() {
    return this.agent.isRegistered();
  }

  async dial(number) {
    ear.dialled();
    this.follow(this.agent.call(`sip:${number}@${this.domain}`, {
      mediaConstraints: { audio: true, video: false }, pcConfig: { iceServers: [] } }), "calling");
  }

  ring(session) {
    if (this.session) return session.terminate({ status_code: 486 });
    this.follow(session, "ringing");
    this.call.from = session.remote_identity.uri.user;
    this.call.name = session.remote_identity.display_name;
  }

  async answer() {
    ear.dialled();
    this.session.answer({ mediaConstraints: { audio: true, video: false }, pcConfig: { iceServers: [] } });
  }

  follow(session, state) {
    this.session = session;
    const call = this.call = { state };
    session.on("progress", ({ response }) => {
      if (response) call.progress = { status: response.status_code, reason: response.reason_phrase };
    });
    session.on("accepted", () => ear.answered());
    session.on("confirmed", () => {
      call.state = "talking";
      this.hear(session);
    });
    const over = ({ cause, message }) => {
      Object.assign(call, { state: "ended", cause, status: message?.status_code, reason: message?.reason_phrase });
      this.session = null;
    };
    session.on("ended", over);
    session.on("failed", over);
  }

  async hear(session) {
    const stream = new MediaStream(session.connection.getReceivers().map((receiver) => receiver.track));
    const audio = document.getElementById("remote");
    audio.srcObject = stream;
    await Promise.all([audio.play(), ear.listen(stream)]);
  }

  async sendDtmf(digits, transportType = JsSIP.C.DTMF_TRANSPORT.RFC2833) {
    this.session.sendDTMF(digits, { transportType, interToneGap: KEY_MS });
    await new Promise((resolve) => setTimeout(resolve, digits.length * (KEY_MS + 100)));
    return true;
  }

  mute(on) {
    if (on) this.session.mute({ audio: true });
    else this.session.unmute({ audio: true });
  }

  hold(on) {
    return new Promise((resolve) => this.session[on ? "hold" : "unhold"]({}, () => resolve({ status: 200 })));
  }

  transfer(number) {
    return new Promise((resolve) => this.session.refer(`sip:${number}@${this.domain}`, {
      eventHandlers: {
        requestSucceeded: () => resolve({ status: 202 }),
        requestFailed: ({ response }) => resolve({ status: response?.status_code, reason: response?.reason_phrase }),
        accepted: () => { this.call.notified = "accepted"; },
        failed: () => { this.call.notified = "failed"; },
      },
    }));
  }

  async hangup() {
    this.session?.terminate();
  }

  offer() {
    return this.session.connection.localDescription.sdp;
  }

  state() {
    return { ...this.call, ...ear.marks };
  }
}

window.phone = new Phone();
