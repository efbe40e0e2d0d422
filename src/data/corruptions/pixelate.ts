/** Blocks of pixels become their mean. Hendrycks and Dietterich, ICLR 2019, with whole pixels as sides of blocks */
import { defineCorruption } from "../corrupting/contract.ts";

export const method = defineCorruption({
  name: "pixelate",
  title: "Pixelate",
  about: "an image of fewer and larger pixels",
  cite: "arXiv:1903.12261",
  // Rows and columns that are left of each.
  amounts: [0.75, 0.6, 0.5, 0.4, 0.25],
  image(x, share, { shape: [, height, width] }) {
    const [rows, columns] = [Math.max(1, Math.round(share * height)), Math.max(1, Math.round(share * width))];
    const plane = height * width;
    const blockOf = (i: number) => {
      const [channel, at] = [Math.floor(i / plane), i % plane];
      const row = Math.floor((Math.floor(at / width) * rows) / height);
      const column = Math.floor(((at % width) * columns) / width);
      return (channel * rows + row) * columns + column;
    };
    const sums = new Map<number, [sum: number, count: number]>();
    for (const [i, value] of x.entries()) {
      const [sum, count] = sums.get(blockOf(i)) ?? [0, 0];
      sums.set(blockOf(i), [sum + value, count + 1]);
    }
    return x.map((_, i) => {
      const [sum, count] = sums.get(blockOf(i))!;
      return sum / count;
    });
  },
});
