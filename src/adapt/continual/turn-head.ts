/**
 * A task that needs no labels, beside a first one: by how many quarters is an image turned? Gidaris et al., ICLR 2018,
 * https://arxiv.org/abs/1803.07728. Its head, (4, C), is trained with the task and then left.
 */
import { keyedNormals } from "../../keyed-random.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { drawn, fillChanged, numbersOf, recordChanged, turned } from "./changed-rows.ts";
import type { Stream, Term } from "./contract.ts";

const [INPUTS, TARGETS] = ["turned ", "quarters"];

export function turnHead({ gpu, model, seed }: Stream<unknown>): Parameter {
  const { width } = model.sizes;
  const head = new Parameter(gpu, "turn_head", [4, width]);
  head.write(keyedNormals(4 * width, 1 / Math.sqrt(width), seed, "turn head"));
  return head;
}

/** Cross-entropy of the quarter by which each image of the batch is turned, 0 to 3. */
export function turnTerm({ model, seed }: Stream<unknown>, head: Parameter, weight: number): Term {
  return {
    name: "rotation",
    weight,
    record: (rec, { batch }) => ({
      along: [recordChanged(rec, model, batch, INPUTS), rec.input(TARGETS, [batch.refs.length], "i32")],
      rows: (rec, { along: [hidden, quarters] }) =>
        crossEntropy(rec, linear(rec, hidden!, rec.parameter(head)), quarters!),
    }),
    fill(program, part) {
      const random = drawn(part, seed, "quarters");
      const quarters = part.refs.map(() => random.below(4));
      fillChanged(program, part, turned(numbersOf(part, "--rotation-weight"), quarters), INPUTS);
      program.write(TARGETS, Int32Array.from(quarters));
    },
  };
}
