// Every word that the page shows, in English. A translation is another file like this one.

export const TEXTS = {
  // --- before the call
  title: 'Join a conference',
  titleOf: (extension) => `Join conference ${extension}`,
  extension: 'Conference number',
  extensionHint: 'The number that others dial, for example 2001.',
  extensionMissing: 'Type the number of the conference.',
  name: 'Your name',
  nameHint: 'The others see it. You may leave it out.',
  microphone: 'Microphone',
  microphoneDefault: 'Default of this device',
  microphoneUnnamed: (number) => `Microphone ${number}`,
  test: 'Test',
  testing: 'Stop',
  level: 'How loud your microphone is',
  join: 'Join',

  // --- during the call
  conference: (name, extension) => name || `Conference ${extension}`,
  states: {
    calling: 'Calling…',
    connecting: 'Connecting…',
    prompting: 'Key the access code and press #',
    refused: 'That code is not right. Key it again and press #',
    waiting: 'You hear music until the administrator arrives.',
    talking: 'You are in the conference.',
    leaving: 'The call is ending.',
    unsteady: 'The connection is unsteady…',
    again: (seconds) => `The connection was lost. Trying again in ${seconds} s…`,
  },
  keypad: 'Keypad',
  keypadLabel: 'Telephone keys; the keys of your keyboard work too',
  keyLabels: { '*': 'star', '#': 'hash' },
  keyedLabel: (count) => (count === 1 ? '1 key pressed' : `${count} keys pressed`),
  mute: 'Mute',
  unmute: 'Unmute',
  youAreMuted: 'You are muted',
  mutedByAdministrator: 'The administrator has muted you',
  guarded: 'You are not heard: your line plays music or an echo',
  hangUp: 'Hang up',
  soundOn: 'Turn the sound on',
  people: (count) => (count === 1 ? 'Nobody else is here yet' : `${count} people are here`),
  telephone: (ending) => (ending ? `Telephone …${ending}` : 'Telephone'),
  marks: {
    you: 'you', administrator: 'administrator', guest: 'guest', muted: 'muted', held: 'on hold', speaking: 'is talking',
  },

  // --- after the call
  over: {
    title: 'The call is over',
    own: 'You have hung up.',
    gone: 'The call has ended.',
    because: (reason) => `The call has ended: ${TEXTS.over.reasons[reason] ?? reason}.`,
    reasons: { // the server's words, where a page can say it better
      'no media from the telephone': 'no sound came from your browser any more',
      'the media worker ended': 'a part of the server failed, and is there again; join again',
      'too many wrong codes': 'the access code was wrong too often',
    },
  },
  again: 'Join again',

  // --- what can be missing, and what to do about it
  notices: {
    insecure: (host) => ({
      title: 'This page cannot use a microphone',
      text: 'Browsers give microphones to secure pages only: to addresses that begin with https, and to localhost.',
      more: 'If you look after this server: give it a certificate and an https address in its file, then open '
        + `https://${host}:8443/ instead.`,
      code: '[http]\ntls_listen = "0.0.0.0:8443"\n\n[tls]\ncertificate = "fullchain.pem"\nkey = "privkey.pem"',
    }),
    unable: {
      title: 'This browser cannot make calls',
      text: 'It has no WebRTC. Any recent Firefox, Chrome, Edge or Safari has.',
    },
    denied: {
      title: 'The microphone is not allowed',
      text: 'Allow it for this page: the sign left of the address shows what is blocked. Then press Join once more.',
    },
    missing: {
      title: 'No microphone was found',
      text: 'Plug one in, or turn it on in the settings of your system, and press Join once more.',
    },
    taken: {
      title: 'The microphone cannot be used',
      text: 'Another program may have it. Close that program, or choose another microphone.',
    },
    microphoneGone: {
      title: 'The microphone is gone',
      text: 'It was unplugged or turned off. Plug it in again and join again; you still hear the others.',
    },
    unreachable: {
      title: 'The server does not answer',
      text: 'Check your connection and try again. If others cannot reach it either, it may be down.',
    },
    noPath: {
      title: 'No sound can reach the server',
      text: 'The call was answered, but no media came through. A firewall on your side or on the server\'s may block UDP.',
      more: 'If you look after this server: the UDP ports of [rtp] ports must be open, and behind NAT [sip] advertise '
        + 'must name the public address.',
    },
    lost: {
      title: 'The connection was lost',
      text: 'It could not be brought back. Check your network and join again.',
    },
    refused: (detail, seconds) => ({
      title: 'You cannot join now',
      text: detail,
      more: seconds ? `Try again in ${waitInWords(seconds)}.` : '',
    }),
  },
};

function waitInWords(seconds) {
  const minutes = Math.ceil(seconds / 60);
  if (seconds < 60) return seconds === 1 ? 'a second' : `${seconds} seconds`;
  return minutes === 1 ? 'a minute' : `${minutes} minutes`;
}
