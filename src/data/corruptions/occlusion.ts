/** A square of an image is hidden. DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552, as a corruption */
import { defineCorruption } from "../corrupting/contract.ts";

export const method = defineCorruption({
  name: "occlusion",
  title: "Occlusion",
  about: "a square of an image is hidden, all of it within the image",
  cite: "arXiv:1708.04552",
  // Side of the square, as a share of the image's shorter one.
  amounts: [0.2, 0.3, 0.4, 0.5, 0.6],
  image(x, share, { shape: [, height, width], random }) {
    const side = Math.max(1, Math.round(share * Math.min(height, width)));
    const [top, left] = [random.below(height - side + 1), random.below(width - side + 1)];
    return x.map((value, i) => {
      const [row, column] = [Math.floor(i / width) % height, i % width];
      return row >= top && row < top + side && column >= left && column < left + side ? 0.5 : value;
    });
  },
});
