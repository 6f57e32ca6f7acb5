// The list of those who are in the conference. Rows are kept and changed, so that nothing jumps while people talk.

import { TEXTS } from './texts.js';

const MARKS = ['administrator', 'guest', 'muted', 'held'];

export class People {
  #list;
  #title;
  #rows = new Map();

  constructor(list, title) {
    this.#list = list;
    this.#title = title;
  }

  /** people: as the server tells them; own: the id of the visitor, who stands first. */
  show(people, own) {
    const here = new Set(people.map((person) => person.id));
    for (const [id, row] of this.#rows) {
      if (!here.has(id)) {
        row.remove();
        this.#rows.delete(id);
      }
    }
    for (const person of people) {
      const row = this.#rows.get(person.id) ?? this.#add(person.id, person.id === own);
      fill(row, person, person.id === own);
    }
    this.#title.textContent = TEXTS.people(people.length);
  }

  #add(id, first) {
    const row = document.createElement('li');
    row.append(document.createElement('i'), document.createElement('b'), document.createElement('small'));
    this.#rows.set(id, row);
    if (first) this.#list.prepend(row);
    else this.#list.append(row);
    return row;
  }
}

function fill(row, person, own) {
  const [sign, name, marks] = row.children;
  row.classList.toggle('speaking', person.speaking);
  sign.setAttribute('role', 'img');
  if (person.speaking) sign.setAttribute('aria-label', TEXTS.marks.speaking);
  else sign.removeAttribute('aria-label');
  sign.setAttribute('aria-hidden', String(!person.speaking));
  name.textContent = person.name || TEXTS.telephone(person.number_ending);
  const words = MARKS.filter((mark) => person[mark]).map((mark) => TEXTS.marks[mark]);
  marks.textContent = (own ? [TEXTS.marks.you, ...words] : words).join(' · ');
}
