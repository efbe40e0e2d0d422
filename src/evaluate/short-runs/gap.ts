/** How deep and how long a loss rises before it falls, of a course that begins before the first step. */

export interface Gap {
  readonly before: number;
  readonly after: number;
  /** The most that the loss is above that before; 0 where it never is. */
  readonly gap: number;
  /** The step of the highest loss; 0 where it never is above that before. */
  readonly worst: number;
  /**
   * The first step after the worst at which the loss is down at that before; null where it never is, 0 without a gap.
   */
  readonly recovery: number | null;
  /** Loss before less loss after. */
  readonly gain: number;
}

/** Throws RangeError for an empty course. */
export function gapOf(course: readonly { readonly step: number; readonly loss: number }[]): Gap {
  const [first] = course;
  if (!first) throw new RangeError("a course needs points");
  const worst = course.reduce((a, b) => (b.loss > a.loss ? b : a));
  const after = course.at(-1)!.loss;
  const back = course.find(({ step, loss }) => step > worst.step && loss <= first.loss);
  return {
    ...{ before: first.loss, after, gap: worst.loss - first.loss, worst: worst.step },
    recovery: worst.step === first.step ? 0 : (back?.step ?? null),
    gain: first.loss - after,
  };
}
