/**
 * The likeliest of many logits, in order, without a sort of all of them: the values fall into classes by how far they
 * lie below the largest, and a class is sorted when it is asked for. O(V) and a sort of what is taken.
 */

/** Classes of 1/8 nat each; the last one holds all that lie 64 nats below the largest or more. */
const [PER_NAT, CLASSES] = [8, 513];

export interface Candidate {
  readonly id: number;
  /** exp((logit - largest) / temperature): not normalised. */
  readonly p: number;
}

export class Likeliest {
  /** The sum of p over all values. */
  readonly total: number;
  readonly #values: Float64Array;
  /** Classes in order: ids of class c are `#ids` from `#from[c]` to `#from[c + 1]`, ascending. */
  readonly #ids: Int32Array;
  readonly #from = new Int32Array(CLASSES + 1);
  readonly #masses = new Float64Array(CLASSES);

  /** `logits` (V); `temperature` above 0. */
  constructor(logits: Float64Array, temperature: number) {
    let most = Number.NEGATIVE_INFINITY;
    for (const x of logits) if (x > most) most = x;
    const count = logits.length;
    this.#values = new Float64Array(count);
    this.#ids = new Int32Array(count);
    const classes = new Int16Array(count);
    for (let id = 0; id < count; id++) {
      const gap = (most - logits[id]!) / temperature;
      const c = Math.min(CLASSES - 1, Math.floor(gap * PER_NAT));
      const p = Math.exp(-gap);
      classes[id] = c;
      this.#values[id] = p;
      this.#masses[c] = this.#masses[c]! + p;
      this.#from[c + 1] = this.#from[c + 1]! + 1;
    }
    for (let c = 0; c < CLASSES; c++) this.#from[c + 1] = this.#from[c + 1]! + this.#from[c]!;
    const next = this.#from.slice();
    for (let id = 0; id < count; id++) {
      const c = classes[id]!;
      const place = next[c]!;
      this.#ids[place] = id;
      next[c] = place + 1;
    }
    this.total = this.#masses.reduce((sum, mass) => sum + mass, 0);
  }

  /** One class, likeliest first, of equals the lowest id first. */
  #class(c: number): Candidate[] {
    const ids = this.#ids.subarray(this.#from[c], this.#from[c + 1]);
    return Array.from(ids, (id) => ({ id, p: this.#values[id]! })).sort((a, b) => b.p - a.p || a.id - b.id);
  }

  /** Whole classes from the likeliest on, until they suffice: how many values, their sum, and a bound of the next p. */
  take(suffices: (count: number, mass: number, least: number) => boolean): Candidate[] {
    const list: Candidate[] = [];
    let mass = 0;
    for (let c = 0; c < CLASSES; c++) {
      for (const candidate of this.#class(c)) list.push(candidate);
      mass += this.#masses[c]!;
      if (suffices(this.#from[c + 1]!, mass, Math.exp(-(c + 1) / PER_NAT))) break;
    }
    return list;
  }

  /** The value at a share of the sum, 0 <= `unit` < 1, counted from the likeliest on. */
  at(unit: number): number {
    let left = unit * this.total;
    let last = 0;
    for (let c = 0; c < CLASSES; c++) {
      if (this.#from[c] === this.#from[c + 1]) continue;
      last = c;
      if (left < this.#masses[c]!) break;
      left -= this.#masses[c]!;
    }
    const list = this.#class(last);
    for (const { id, p } of list) {
      left -= p;
      if (left < 0) return id;
    }
    return list.at(-1)!.id;
  }
}
