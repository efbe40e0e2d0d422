/** Numbers as people read them. */

const SIZES = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Bytes in decimal units, three digits: `812 MB`, `1.25 GB`. */
export function humanBytes(bytes: number): string {
  let unit = 0;
  let size = bytes;
  // 999.5 would be rounded to 1000, which belongs to the next unit.
  while (Math.abs(size) >= (unit === 0 ? 1000 : 999.5) && unit < SIZES.length - 1) {
    size /= 1000;
    unit++;
  }
  const digits = unit === 0 || Math.abs(size) >= 99.95 ? 0 : Math.abs(size) >= 9.995 ? 1 : 2;
  return `${size.toFixed(digits)} ${SIZES[unit]}`;
}

/** Seconds: `0.42 s`, `12.3 s`, `3 min 20 s`, `2 h 05 min`. */
export function humanTime(seconds: number): string {
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** A share as people read it: percent, and a tiny one in powers of ten. */
export const humanShare = (share: number): string =>
  share === 0 ? "0" : share < 1e-4 ? share.toExponential(1) : `${(100 * share).toPrecision(3)} %`;

/** A number with five digits, without zeros at their end. */
export const shortNumber = (value: number): string => String(Number(value.toPrecision(5)));
