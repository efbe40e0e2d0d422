/**
 * Problems of finding the best of some items by answers of yes or no: the chance of a yes of every item. A problem is
 * as hard as many answers are needed to tell its items apart.
 */
import type { Random } from "../../data/random.ts";

/** Chances lie between it and 1 less it, where scores of answers are finite. */
export const MARGIN = 0.02;
/** Items that are as good as the best one are told from it by so much. */
const LEAST_GAP = 1e-6;

/** The place of the best item; the first of several. */
export const bestOf = (means: readonly number[]): number => means.indexOf(Math.max(...means));

/** sum 1 / gap^2 over all items but the best; infinite where two are best. */
export function difficultyOf(means: readonly number[]): number {
  const best = bestOf(means);
  return means.reduce((sum, mean, i) => (i === best ? sum : sum + 1 / (means[best]! - mean) ** 2), 0);
}

/** The least difficulty of so many items. */
export const leastDifficulty = (items: number): number => (items - 1) / (1 - 2 * MARGIN) ** 2;

/**
 * The problem itself, with chances inside the margins, where it is at most so hard; else one whose gaps grow by a
 * common factor until it is, the best going up and the others down, which stop at the margins. A retraction, not the
 * nearest problem.
 */
export function easedTo(means: readonly number[], most: number): number[] {
  const inside = means.map((mean) => Math.min(1 - MARGIN, Math.max(MARGIN, mean)));
  if (difficultyOf(inside) <= most) return inside;
  const best = bestOf(inside);
  const gaps = inside.map((mean, i) => (i === best ? 0 : Math.max(LEAST_GAP, inside[best]! - mean)));
  const at = (factor: number): number[] => {
    const top = 1 - MARGIN - (1 - MARGIN - inside[best]!) / factor;
    return gaps.map((gap, i) => (i === best ? top : Math.max(MARGIN, top - factor * gap)));
  };
  let [low, high] = [1, 2];
  while (difficultyOf(at(high)) > most && high < 1e12) [low, high] = [high, 2 * high];
  for (let i = 0; i < 60; i++) {
    const middle = Math.sqrt(low * high);
    if (difficultyOf(at(middle)) > most) low = middle;
    else high = middle;
  }
  return at(high);
}

/** A problem of chances that are drawn evenly, at most as hard as a bound that is drawn evenly by its logarithm. */
export function drawnProblem(items: number, most: number, random: Random): number[] {
  const least = leastDifficulty(items) * 1.01;
  const bound = least * (Math.max(most, least) / least) ** random.uniform();
  return easedTo(
    Array.from({ length: items }, () => random.uniform()),
    bound,
  );
}
