/**
 * Takes rows out of a head that `train analytic` fitted, exactly as a fit of the rows that are left, and without them:
 *
 *   R <- R + R A^T (I - A R A^T)^-1 A R        W <- W - R A^T (Y_a - A W)
 *
 * A are the features of the rows to forget. "ACU: Analytic Continual Unlearning for Efficient and Exact Forgetting",
 * 2025, https://arxiv.org/abs/2505.12239
 */
import { UserError } from "../../../errors.ts";
import { rowsOfBatch } from "../../../run/analytic/batch-rows.ts";
import { fitEntries, readFitState } from "../../../run/analytic/fit-state.ts";
import { eachFeatures, expectHead, fittedHead, writeHead } from "../../../run/analytic/head-features.ts";
import type { LearntRows } from "../../../run/analytic/learnt-rows.ts";
import { type RidgeFit, takeOutRows } from "../../../tensor/linear-algebra/recursive-ridge.ts";
import { defineEdit } from "../../contract.ts";

/** Sets the column of every class to zero. Throws UserError for a class that there is not, or whose rows are left. */
function forgetClasses({ weights, outputs }: RidgeFit, classes: readonly number[]): void {
  for (const label of classes) for (let i = label; i < weights.length; i += outputs) weights[i] = 0;
}

function checkClasses(classes: readonly number[], { outputs }: RidgeFit, rows: LearntRows): void {
  for (const label of classes) {
    if (label >= outputs)
      throw new UserError(`--forget-class ${label}: the head tells ${outputs} classes apart`, "they count from 0");
    const left = rows.of(label);
    if (left > 0)
      throw new UserError(
        `--forget-class ${label}: ${left} of its rows are still learnt after this request`,
        "give --forget all rows of the class",
      );
  }
}

export const method = defineEdit({
  name: "analytic",
  title: "Analytic unlearning",
  about: "takes rows out of a head that `train analytic` fitted, as if it had never seen them",
  cite: "arXiv:2505.12239",
  laws: {
    neverGrows: "it is what a fit of the other rows gives, which may be larger",
    leavesFrozen: "it changes the head, trained or not",
    orderFree: "it needs a head that was fitted: test/unlearn/analytic.test.ts shows it",
  },
  options: {
    forget_class: {
      type: "number.integer >= 0[]",
      help: "classes of which all rows are among --forget: their outputs become 0",
      value: "CLASS",
    },
  },
  alone: () => true,

  async open({ ref, tensors, forget, values: { forget_class: classes = [] } }) {
    const state = await readFitState(ref, tensors);
    const { fit, rows } = state;
    const examples = forget.flatMap(rowsOfBatch);
    rows.remove(examples);
    checkClasses(classes, fit, rows);
    return {
      beside: fitEntries(state),
      async edit({ model, signal, done }) {
        const head = fittedHead(model);
        await expectHead(model, fit, head, ref);
        let ready = 0;
        await eachFeatures(model, head, examples, {
          signal,
          each(part) {
            if (!takeOutRows(fit, part))
              throw new UserError(
                `rows of --forget are not among those that the head of ${ref} was fitted by`,
                "their features have changed: take rows out of the model that train analytic wrote",
              );
            ready += part.count;
            done(ready / examples.length);
          },
        });
        forgetClasses(fit, classes);
        writeHead(model, fit, head);
        return { rows: examples.length, left: rows.size };
      },
    };
  },
});
