/** Images of classes that are as many as one likes: nine squares of grey, for experiments with new classes. */
import { uniform } from "./support.ts";

/** Pixels of a row and of a column. */
export const SIDE = 9;

/** Rows of classes: nine squares of their own grey for each, moved by up to a pixel, with noise. */
export function squares(seed: number, classes: readonly number[], count: number, first: number) {
  return classes.flatMap((label) => {
    const draw = uniform(1000 * seed + label);
    const greys = Array.from({ length: 9 }, () => 2 * draw() - 1);
    const next = uniform(100_000 * seed + 1000 * label + first);
    return Array.from({ length: count }, () => {
      const [down, right] = [Math.floor(3 * next()) - 1, Math.floor(3 * next()) - 1];
      const image = Array.from({ length: SIDE }, (_, i) =>
        Array.from({ length: SIDE }, (_, j) => {
          const [a, b] = [i - down, j - right];
          const inside = a >= 0 && a < SIDE && b >= 0 && b < SIDE;
          const ink = inside ? greys[3 * Math.floor(a / 3) + Math.floor(b / 3)]! : 0;
          const noise = next() + next() + next() - 1.5; // of standard deviation 1 / 2
          return Number((ink + noise).toFixed(3));
        }),
      );
      return { image, label };
    });
  });
}
