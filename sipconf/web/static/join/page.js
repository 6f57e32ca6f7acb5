// The join page: which of its views is shown, and what its buttons do. The call itself is in call.js.

import { Call } from './call.js';
import { People } from './people.js';
import * as mic from './microphones.js';
import { TEXTS } from './texts.js';

const KEYS = '123456789*0#';
const RETRY_SECONDS = [1, 4, 10]; // after a connection that was lost
const NAME = 'sipconf.name';
const MICROPHONE = 'sipconf.microphone';

const at = (id) => document.getElementById(id);
const linked = decodeURIComponent(location.pathname.match(/^\/join\/([^/]+)$/)?.[1] ?? '');
const people = new People(at('people'), at('people-title'));
const testMeter = new mic.Meter(at('test-level'));
const callMeter = new mic.Meter(at('level'));

let call = null;
let stream = null;
let muted = false;
let own = { id: '', state: '', muted: false, guard: null };
let keyed = 0;
let attempts = 0;
let retry = 0;

// --- views ----------------------------------------------------------------------------------------------------------
function show(view) {
  for (const each of ['join', 'call', 'over']) at(`${each}-view`).hidden = each !== view;
  at('card').dataset.view = view;
  if (view === 'join') setTitle(linked ? TEXTS.titleOf(linked) : TEXTS.title);
  if (view === 'over') setTitle(TEXTS.over.title);
  if (view !== 'join') at('title').focus({ preventScroll: true });
}

function setTitle(text) {
  at('title').textContent = text;
  document.title = text;
}

function notice(what) {
  at('notice').hidden = !what;
  at('notice-title').textContent = what?.title ?? '';
  at('notice-text').textContent = what?.text ?? '';
  at('notice-more').textContent = what?.more ?? '';
  at('notice-code').textContent = what?.code ?? '';
  at('notice-code').hidden = !what?.code;
}

function say(text) {
  if (at('state').textContent !== text) at('state').textContent = text;
}

// --- before the call ------------------------------------------------------------------------------------------------
async function listMicrophones() {
  const chosen = at('microphone').value || read(MICROPHONE);
  const found = await mic.microphones();
  const choices = [new Option(TEXTS.microphoneDefault, ''), ...found.map(
    (each, index) => new Option(each.label || TEXTS.microphoneUnnamed(index + 1), each.deviceId))];
  at('microphone').replaceChildren(...choices);
  at('microphone').value = found.some((each) => each.deviceId === chosen) ? chosen : '';
}

async function openMicrophone() {
  if (stream?.active) return true;
  try {
    stream = await mic.open(at('microphone').value);
  } catch (error) {
    notice(TEXTS.notices[mic.noticeOf(error)]);
    return false;
  }
  notice(null);
  const [track] = stream.getAudioTracks();
  track.enabled = !muted;
  track.addEventListener('ended', microphoneGone);
  await listMicrophones();
  return true;
}

function closeMicrophone() {
  mic.close(stream);
  stream = null;
  testMeter.stop();
  callMeter.stop();
  at('test-level').hidden = true;
  at('test').textContent = TEXTS.test;
}

async function test() {
  if (!at('test-level').hidden) {
    closeMicrophone();
  } else if (await openMicrophone()) {
    at('test-level').hidden = false;
    at('test').textContent = TEXTS.testing;
    testMeter.show(stream);
  }
}

async function chooseMicrophone() {
  write(MICROPHONE, at('microphone').value);
  if (at('test-level').hidden) return;
  closeMicrophone();
  await test();
}

async function join(event) {
  event.preventDefault();
  const extension = at('extension').value.trim();
  if (!extension) {
    notice({ title: TEXTS.extensionMissing });
    at('extension').focus();
    return;
  }
  write(NAME, at('name').value.trim());
  at('join').disabled = true;
  const opened = await openMicrophone();
  at('join').disabled = false;
  if (!opened) return;
  attempts = 0;
  begin();
}

// --- the call -------------------------------------------------------------------------------------------------------
function begin() {
  const extension = at('extension').value.trim();
  notice(null);
  own = { id: '', state: '', muted: false, guard: null };
  showKeyed(0);
  at('card').dataset.state = '';
  setTitle(TEXTS.conference('', extension));
  show('call');
  testMeter.stop();
  callMeter.show(stream);
  at('people-part').hidden = true;
  openKeypad(false);
  say(TEXTS.states.calling);
  call = new Call(extension, at('name').value.trim(), stream);
  const on = (name, act) => call.addEventListener(name, ({ detail }) => act(detail));
  on('state', stateChanged);
  on('code-refused', codeRefused);
  on('people', (told) => people.show(told, own.id));
  on('voices', hear);
  on('over', ({ reason }) => over(reason ? TEXTS.over.because(reason) : TEXTS.over.gone));
  on('failed', failed);
  showMuted();
  call.begin();
}

function stateChanged(told) {
  if (told.state === 'unsteady' || told.state === 'connecting') {
    say(TEXTS.states[told.state]);
    return;
  }
  const before = own.state;
  if (told.state !== 'steady') own = told;
  if (own.state && own.state !== 'connecting') attempts = 0;
  at('card').dataset.state = own.state;
  say(TEXTS.states[own.state] ?? TEXTS.states.connecting);
  if (own.conference) setTitle(own.conference);
  at('people-part').hidden = own.state !== 'talking';
  if (own.state !== before) openKeypad(own.state === 'prompting');
  if (own.state === 'talking') showKeyed(0);
  showMuted();
}

function codeRefused() {
  showKeyed(0);
  say(TEXTS.states.refused);
}

async function hear(voices) {
  at('voices').srcObject = voices;
  try {
    await at('voices').play();
    at('sound').hidden = true;
  } catch (error) {
    at('sound').hidden = error.name !== 'NotAllowedError'; // the browser waits for a touch; else a newer stream came
  }
}

function press(key) {
  if (!call?.press(key)) return;
  const button = at('keys').children[KEYS.indexOf(key)];
  button.classList.add('pressed');
  setTimeout(() => button.classList.remove('pressed'), 150);
  showKeyed(key === '#' ? 0 : keyed + 1);
}

function showKeyed(count) {
  keyed = count;
  at('keyed').textContent = '•'.repeat(Math.min(count, 16)); // a code is nobody else's business
  at('keyed').setAttribute('aria-label', count ? TEXTS.keyedLabel(count) : '');
}

function openKeypad(open) {
  at('keypad').hidden = !open;
  at('show-keypad').setAttribute('aria-expanded', String(open));
}

function mute() {
  muted = !muted;
  for (const track of stream?.getAudioTracks() ?? []) track.enabled = !muted;
  showMuted();
}

function showMuted() {
  at('mute').setAttribute('aria-pressed', String(muted));
  at('mute-word').textContent = muted ? TEXTS.unmute : TEXTS.mute;
  at('own-word').textContent = own.muted ? TEXTS.mutedByAdministrator
    : own.guard ? TEXTS.guarded : muted ? TEXTS.youAreMuted : '';
  at('card').classList.toggle('muted', muted || own.muted);
}

async function microphoneGone() {
  closeMicrophone();
  const current = call;
  if (!current) return;
  const opened = await openMicrophone();
  if (call !== current) { // it ended meanwhile
    if (!call) closeMicrophone();
  } else if (opened) {
    await call.use(stream);
    callMeter.show(stream);
  } else {
    notice(TEXTS.notices.microphoneGone);
  }
}

// --- its end --------------------------------------------------------------------------------------------------------
function finish() {
  clearTimeout(retry);
  call = null;
  muted = false;
  at('voices').srcObject = null;
  at('sound').hidden = true;
  closeMicrophone();
}

function over(text) {
  finish();
  notice(null);
  at('over-text').textContent = text;
  show('over');
  at('again').focus();
}

function failed({ notice: name, detail, seconds, lost }) {
  if (lost && attempts < RETRY_SECONDS.length) {
    const wait = RETRY_SECONDS[attempts];
    attempts += 1;
    say(TEXTS.states.again(wait));
    at('people-part').hidden = true;
    openKeypad(false);
    retry = setTimeout(tryAgain, wait * 1000);
    return;
  }
  finish();
  notice(name === 'refused' ? TEXTS.notices.refused(detail, seconds) : TEXTS.notices[name]);
  show('join');
  at('join').focus();
}

async function tryAgain() {
  const lost = call;
  const opened = await openMicrophone(); // it may have gone too
  if (call !== lost) {
    closeMicrophone(); // hung up meanwhile
  } else if (opened) {
    begin();
  } else {
    finish();
    show('join');
    at('join').focus();
  }
}

function hangUp() {
  call?.hangUp();
  over(TEXTS.over.own);
}

// --- wires ----------------------------------------------------------------------------------------------------------
function read(key) {
  try {
    return localStorage.getItem(key) ?? '';
  } catch {
    return ''; // the browser keeps nothing for us
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // then it is typed again next time
  }
}

function keyPressed(event) {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (!call || typing || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key.length === 1 && KEYS.includes(event.key)) {
    press(event.key);
    event.preventDefault();
  } else if (event.key === 'm' || event.key === 'M') {
    mute();
  }
}

function buildKeypad() {
  for (const key of KEYS) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = key;
    if (TEXTS.keyLabels[key]) button.setAttribute('aria-label', TEXTS.keyLabels[key]);
    button.addEventListener('click', () => press(key));
    at('keys').append(button);
  }
  at('keypad').setAttribute('aria-label', TEXTS.keypadLabel);
}

function start() {
  for (const element of document.querySelectorAll('[data-text]')) element.textContent = TEXTS[element.dataset.text];
  for (const id of ['level', 'test-level']) {
    at(id).setAttribute('role', 'img');
    at(id).setAttribute('aria-label', TEXTS.level);
  }
  buildKeypad();
  at('extension').value = linked;
  at('extension-field').hidden = Boolean(linked);
  at('name').value = read(NAME);
  show('join');
  const missing = mic.whatIsMissing();
  if (missing) {
    notice(missing === 'insecure' ? TEXTS.notices.insecure(location.hostname) : TEXTS.notices[missing]);
    at('join-view').hidden = true;
    return;
  }
  listMicrophones();
  at('join-view').addEventListener('submit', join);
  at('test').addEventListener('click', test);
  at('microphone').addEventListener('change', chooseMicrophone);
  navigator.mediaDevices.addEventListener('devicechange', listMicrophones);
  at('mute').addEventListener('click', mute);
  at('show-keypad').addEventListener('click', () => openKeypad(at('keypad').hidden));
  at('hang-up').addEventListener('click', hangUp);
  at('sound').addEventListener('click', () => hear(at('voices').srcObject));
  at('again').addEventListener('click', () => {
    show('join');
    at('join').focus();
  });
  document.addEventListener('keydown', keyPressed);
  window.addEventListener('pagehide', () => call?.hangUp());
  (linked && !at('name').value ? at('name') : linked ? at('join') : at('extension')).focus();
}

start();
