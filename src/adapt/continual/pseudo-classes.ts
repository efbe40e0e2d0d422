/**
 * Classes that no row has, for the time of one task: its images turned, or rows of two classes mixed in halves.
 * Learning to tell them apart leaves room among the features for classes to come. Roy et al., TMLR 2024,
 * https://arxiv.org/abs/2403.14392, after Zhou et al., CVPR 2022, https://arxiv.org/abs/2203.06953
 *
 *   rotate  a class y turned by q quarters, 1 to 3, is the pseudo-class 3 y + q - 1
 *   mix     (x_i + x_j) / 2 of the classes a < b is the pseudo-class of the pair; a row finds its partner in the batch
 */

import type { Random } from "../../data/random.ts";
import { keyedNormals } from "../../keyed-random.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { drawn, fillChanged, halved, numbersOf, recordChanged, turned } from "./changed-rows.ts";
import type { RecordedTerm, Stream, Term, TermGiven } from "./contract.ts";
import type { PartBatch } from "./rows.ts";

/** How pseudo-classes are made of K classes. */
export type PseudoKind = "rotate" | "mix";

/** Their number. */
export const pseudoCount = (kind: PseudoKind, classes: number): number =>
  kind === "rotate" ? 3 * classes : (classes * (classes - 1)) / 2;

/** The place of a pair of classes a != b among all pairs of K. */
export function pairPlace(a: number, b: number, classes: number): number {
  const [low, high] = a < b ? [a, b] : [b, a];
  return low * classes - (low * (low + 1)) / 2 + high - low - 1;
}

/** Rows of a batch that are made, and which pseudo-class each is, from 0; -1 where a row has no partner. */
export interface PseudoRows {
  readonly x: Float32Array;
  readonly places: Int32Array;
}

/** `labels`: the class of each row by its place among the K classes. */
export function pseudoRows(
  kind: PseudoKind,
  part: PartBatch,
  {
    labels,
    classes,
    random,
  }: { readonly labels: readonly number[]; readonly classes: number; readonly random: Random },
): PseudoRows {
  const numbers = numbersOf(part, "--pseudo");
  if (kind === "rotate") {
    const quarters = labels.map(() => 1 + random.below(3));
    const places = Int32Array.from(labels, (label, i) => 3 * label + quarters[i]! - 1);
    return { x: turned(numbers, quarters), places };
  }
  const partners = labels.map((label) => {
    const others = labels.flatMap((other, j) => (other === label ? [] : [j]));
    return others.length === 0 ? -1 : others[random.below(others.length)]!;
  });
  const places = Int32Array.from(partners, (j, i) => (j < 0 ? -1 : pairPlace(labels[i]!, labels[j]!, classes)));
  return {
    x: halved(
      numbers,
      partners.map((j, i) => Math.max(j, j < 0 ? i : j)),
    ),
    places,
  };
}

const [INPUTS, TARGETS] = ["pseudo ", "pseudo targets"];

export interface PseudoOptions {
  readonly kind: PseudoKind;
  /** The classes of the task. */
  readonly classes: readonly number[];
  /** The loss of rows whose features and targets these are, targets beyond the model's outputs. */
  rows: RecordedTerm["rows"];
}

/** Prototypes of pseudo-classes, (M, C), that are trained with the task and then left. */
export function pseudoPrototypes({ gpu, model, seed }: Stream<unknown>, count: number): Parameter {
  const { width } = model.sizes;
  const prototypes = new Parameter(gpu, "pseudo_prototypes", [count, width]);
  prototypes.write(keyedNormals(count * width, 1 / Math.sqrt(width), seed, "pseudo prototypes"));
  return prototypes;
}

/** A term that tells made rows apart, among all classes. */
export function pseudoTerm(stream: Stream<unknown>, { kind, classes, rows }: PseudoOptions): Term {
  const { model, seed } = stream;
  return {
    name: "pseudo",
    weight: 1,
    record: (rec, { batch }: TermGiven) => ({
      along: [recordChanged(rec, model, batch, INPUTS), rec.input(TARGETS, [batch.refs.length], "i32")],
      rows: (rec, given) => rows(rec, { ...given, hidden: given.along[0]!, targets: given.along[1]! }),
    }),
    fill(program, part) {
      const labels = part.refs.map((ref) => classes.indexOf(stream.rows.labelOf(ref)!));
      const random = drawn(part, seed, "pseudo-classes");
      const { x, places } = pseudoRows(kind, part, { labels, classes: classes.length, random });
      fillChanged(program, part, x, INPUTS);
      program.write(
        TARGETS,
        places.map((place) => (place < 0 ? -1 : model.sizes.outputs + place)),
      );
    },
  };
}
