/** "Did you mean": the known name that is nearest to what was typed. */

/** Edits (insert, delete, replace, swap of neighbours) that turn one string into the other. */
export function editDistance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, j) => j);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1];
      let least = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      if (swapped) least = Math.min(least, beforeLast[j - 2]! + 1);
      row.push(least);
    }
    beforeLast = last;
    last = row;
  }
  return last[to.length]!;
}

const plain = (name: string) => name.toLowerCase().replaceAll("_", "-");

/**
 * The nearest of `known`, or undefined if none is near: a third of the typed letters may be wrong (at least one), or
 * what was typed is the beginning of exactly one name.
 */
export function nearest(typed: string, known: Iterable<string>): string | undefined {
  const wanted = plain(typed);
  const names = [...known];
  const begun = wanted.length >= 2 ? names.filter((name) => plain(name).startsWith(wanted)) : [];
  if (begun.length === 1) return begun[0];

  let best: string | undefined;
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const name of names) {
    if (Math.abs(name.length - wanted.length) >= least) continue; // that many letters would have to be added or dropped
    const distance = editDistance(wanted, plain(name));
    if (distance < least && distance < wanted.length) {
      best = name;
      least = distance;
    }
  }
  return best;
}

/** "did you mean X?" for a hint, or undefined. */
export function didYouMean(typed: string, known: Iterable<string>, prefix = ""): string | undefined {
  const name = nearest(typed, known);
  return name === undefined ? undefined : `did you mean ${prefix}${name}?`;
}
