/**
 * A number in a byte: its sign, and its logarithm in steps of 1/8, which is right to 6.5 %. After "Just One Byte (per
 * gradient)", 2023, https://github.com/ezelikman/justonebyte, whose code keeps logarithms in steps of 1/16 with nine
 * bits.
 *
 *   bit 7     1 where the number is negative
 *   bits 0-6  64 + round(8 ln |x|), from 1 to 127: 0.00038 to 2630; 0 for nothing
 */

const SIGN = 0x80;

/** What stands for a number that is not finite. */
export const NOT_FINITE = SIGN;

/** e^(k/8) for k from -64 to 63, by multiplication alone, so that all machines have the same. */
const LEVELS: readonly number[] = (() => {
  const ratio = 1.1331484530668263;
  const levels = Array<number>(128).fill(1);
  for (let at = 65; at < 128; at++) levels[at] = levels[at - 1]! * ratio;
  for (let at = 63; at >= 0; at--) levels[at] = levels[at + 1]! / ratio;
  return levels;
})();

/** The byte of a number. What is too small or too large becomes the smallest or the largest. */
export function toByte(x: number): number {
  if (!Number.isFinite(x)) return NOT_FINITE;
  if (x === 0) return 0;
  const level = Math.min(127, Math.max(1, 64 + Math.round(8 * Math.log(Math.abs(x)))));
  return x < 0 ? SIGN + level : level;
}

/** The number of a byte; 0 for nothing and for what was not finite. */
export function fromByte(byte: number): number {
  const level = byte & 0x7f;
  if (level === 0) return 0;
  return byte & SIGN ? -LEVELS[level]! : LEVELS[level]!;
}
