/** Pages as tensors of a recording. */
import type { Recorder } from "../recorder.ts";
import type { ElementType, Tensor } from "../tensor.ts";
import type { Pages } from "./pages.ts";

/** Made once for all uses in a recording: uses of one page add up in its gradient. */
const known = new WeakMap<Recorder, Map<number, readonly Tensor[]>>();

/** The pages of a weight, (1, ...) each, where it lies in such; their gradients are pages too. */
export function weightPages(rec: Recorder, weight: Tensor): readonly Tensor[] | undefined {
  const parameter = rec.parameterOf(weight);
  if (!parameter?.pages) return undefined;
  const made = known.get(rec) ?? new Map<number, readonly Tensor[]>();
  known.set(rec, made);
  let pages = made.get(weight.root);
  if (!pages) {
    const [count = 1, ...rest] = parameter.shape;
    const { dtype, size } = parameter;
    pages = parameter.pages.list.map((page, i) =>
      rec.lent(page, { shape: [1, ...rest], dtype, of: weight, start: (i * size) / count }),
    );
    made.set(weight.root, pages);
  }
  return pages;
}

/** One page of a tensor of this shape, such as a gradient or a state: (1, ...). */
export const pageTensor = (
  rec: Recorder,
  { list }: Pages,
  page: number,
  [, ...rest]: readonly number[],
  dtype: ElementType = "f32",
): Tensor => rec.lent(list[page]!, { shape: [1, ...rest], dtype });

/** All pages of a tensor of this shape. */
export const statePages = (
  rec: Recorder,
  pages: Pages,
  shape: readonly number[],
  dtype: ElementType = "f32",
): readonly Tensor[] => pages.list.map((_, page) => pageTensor(rec, pages, page, shape, dtype));
