// Hears its own microphone.

import { Ear } from "./ear.js";

const ear = new Ear();
window.phone = {
  ear,
  start: async () => ear.listen(await navigator.mediaDevices.getUserMedia({ audio: true })),
};
