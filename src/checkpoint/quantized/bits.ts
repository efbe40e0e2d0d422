/** Fields of 1 to 8 bits in a stream of 32-bit words, element 0 in the lowest bits. */

/** Words that `count` fields of `bits` bits take. */
export const wordsOf = (count: number, bits: number): number => Math.ceil((count * bits) / 32);

/**
 * Fields [first, first + count) of the row whose first word is `words[base]`, into `into` from 0 on. A field may cross
 * from one word to the next.
 */
export function unpack(
  words: Uint32Array,
  base: number,
  bits: number,
  first: number,
  count: number,
  into: Uint8Array,
): void {
  const mask = (1 << bits) - 1;
  if (32 % bits !== 0) {
    let word = base + Math.floor((first * bits) / 32);
    let shift = (first * bits) % 32;
    for (let k = 0; k < count; k++) {
      const high = shift + bits > 32 ? words[word + 1]! << (32 - shift) : 0;
      into[k] = ((words[word]! >>> shift) | high) & mask;
      shift += bits;
      if (shift >= 32) {
        shift -= 32;
        word++;
      }
    }
    return;
  }
  const perWord = 32 / bits;
  let k = 0;
  let at = base + Math.floor(first / perWord);
  let shift = (first % perWord) * bits;
  while (k < count) {
    let word = words[at++]! >>> shift;
    const stop = Math.min(count, k + (32 - shift) / bits);
    shift = 0;
    for (; k < stop; k++) {
      into[k] = word & mask;
      word >>>= bits;
    }
  }
}

/** The field of `bits` bits that begins at bit `at`. */
export function field(words: Uint32Array, base: number, at: number, bits: number): number {
  const word = base + Math.floor(at / 32);
  const shift = at % 32;
  const low = words[word]! >>> shift;
  const high = shift + bits > 32 ? words[word + 1]! << (32 - shift) : 0;
  return (low | high) & ((1 << bits) - 1);
}

/**
 * Writes a field at bit `at` of a stream whose word k is `words[base + k * stride]`. Bits that are set stay set, so the
 * words hold zeros before.
 */
export function put(words: Uint32Array, base: number, stride: number, at: number, bits: number, value: number): void {
  const word = base + (at >>> 5) * stride;
  const shift = at & 31;
  words[word]! |= value << shift;
  if (shift + bits > 32) words[word + stride]! |= value >>> (32 - shift);
}
