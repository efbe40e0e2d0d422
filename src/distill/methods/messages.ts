/**
 * Messages between student and teacher. Zhao et al., "Talking Models: Distill Pre-trained Knowledge to Downstream
 * Models via Interactive Communication", 2023, https://arxiv.org/abs/2310.03188
 *
 * Encoders turn hidden states into messages of one space, decoders messages into hidden states of their model; each is
 * a layer, ReLU and a layer, for every position. With l the lower and h the upper states of a model,
 *
 *   question     m = Enc_S(l_S);  the teacher goes on from Dec_T(m) in the place of l_T, and comes to h'
 *   answer       a = Dec_S(Enc_T(h'))
 *   interaction  |h_S - sg a|^2
 *   message      |Enc_S(x_S) - sg Enc_T(x_T)|^2, the mean over lower and upper states x
 *   consistency  |Dec(Enc(x)) - sg x|^2 for both, the mean over lower and upper states
 *
 * beside the labels' loss, all as means over the width. The lower states are those of --layers, the upper ones what
 * heads read. The teacher stays as it is. The paper matches messages of upper states alone; without those of lower ones
 * a question would be in words that the teacher's decoder never heard. One turn; the paper's weights are not known.
 */
import { UserError } from "../../errors.ts";
import type { ModelSizes } from "../../model/architecture.ts";
import type { Recorded } from "../../model/model.ts";
import { relu } from "../../tensor/ops/activation.ts";
import { add, scale, stopGradient } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { byRow } from "../by-row.ts";
import { defineDistillation, EVERY_LAW, type ExtraSpec } from "../contract.ts";
import { keptExtra } from "../kept-extra.ts";
import { layerPairs } from "../layer-pairs.ts";
import { meanSquare } from "../state-distance.ts";

const MIDDLE = "middle";

/** The layers whose states are the lower ones. Throws UserError for layers that are not there. */
function lowerLayers(text: string, student: ModelSizes, teacher: ModelSizes): [student: number, teacher: number] {
  if (text === MIDDLE) return [Math.ceil(student.layers / 2), Math.ceil(teacher.layers / 2)];
  const pairs = layerPairs(text);
  const [s, t] = pairs[0] ?? [];
  if (pairs.length !== 1 || typeof s !== "number" || typeof t !== "number")
    throw new UserError(`--layers ${text}: messages go between one layer of each`, "such as --layers 1:2, or middle");
  for (const [layer, { layers }, whose] of [
    [s, student, "student"],
    [t, teacher, "teacher"],
  ] as const)
    if (layer > layers) throw new UserError(`--layers: the ${whose} has no layer ${layer}`, `it has 0 to ${layers}`);
  return [s, t];
}

const lower = ({ notes }: Recorded, layer: number): Tensor => notes.get(`hidden.${layer}`)!;

/** Two layers from states to messages, or from messages to states; `name` tells whose. */
function messenger(rec: Recorder, x: Tensor, name: string, extra: (name: string) => Tensor): Tensor {
  const layer = (x: Tensor, i: number) => linear(rec, x, extra(`${name}.${i}`), { bias: extra(`${name}.${i}.bias`) });
  return layer(relu(rec, layer(x, 0)), 1);
}

/** Weights of a messenger, whose hidden layer is twice the narrower side. */
function specs(name: string, from: number, to: number, narrow: number): ExtraSpec[] {
  const sizes = [from, 2 * narrow, to];
  return [0, 1].flatMap((layer) => [
    { name: `${name}.${layer}`, shape: [sizes[layer + 1]!, sizes[layer]!], std: Math.sqrt(2 / sizes[layer]!) },
    { name: `${name}.${layer}.bias`, shape: [sizes[layer + 1]!], std: 0 },
  ]);
}

const weight = (of: string) => ({ type: "number >= 0", default: 1, help: `weight of ${of}`, value: "W" }) as const;

export const method = defineDistillation({
  name: "messages",
  title: "Talking models",
  about:
    "student and teacher exchange messages: a question in the student's words, answered by the teacher's upper layers",
  cite: "arXiv:2310.03188",
  laws: {
    ...EVERY_LAW,
    zeroAtTeacher: "messengers that begin at random change what goes through them",
    gradientIsSlope: "answers and the teacher's messages are held fixed",
    shiftInvariant: "hidden states are compared, not logits",
    rowsIndependent: "the teacher's upper layers see all tokens of a question",
    zeroWhereUncounted: "hidden states have no labels",
  },
  weights: { labels: 1 },
  options: {
    layers: { type: "string", default: MIDDLE, help: "lower states, student:teacher, such as 1:2", value: "S:T" },
    message_width: {
      type: "number.integer >= 1",
      help: "numbers of a message; those of the narrower model when left out",
      value: "N",
    },
    interaction_weight: weight("the distance to the teacher's answer"),
    message_weight: weight("the distance of messages"),
    consistency_weight: weight("what messages lose"),
  },
  needs: [keptExtra("messengers")],
  extra({ student, teacher, values: { message_width } }) {
    const width = message_width ?? Math.min(student.width, teacher!.width);
    return [
      ...[["student", student.width] as const, ["teacher", teacher!.width] as const].flatMap(([whose, own]) => {
        const narrow = Math.min(own, width);
        return [...specs(`${whose}.encoder`, own, width, narrow), ...specs(`${whose}.decoder`, width, own, narrow)];
      }),
    ];
  },
  states(rec, { student, teacher, again, sizes, values, extra, note }) {
    const [s, t] = lowerLayers(values.layers, sizes.student, sizes.teacher);
    const own = { low: lower(student, s), high: student.hidden };
    const theirs = { low: lower(teacher, t), high: teacher.hidden };
    for (const [x, { width }, layer] of [
      [own.low, sizes.student, s],
      [theirs.low, sizes.teacher, t],
    ] as const)
      if (x.shape.at(-1) !== width)
        throw new UserError(
          `--layers ${values.layers}: layer ${layer} is ${x.shape.at(-1)} wide, and what the head reads ${width}`,
          "choose layers as wide as the last",
        );
    const encode = (whose: string, x: Tensor) => messenger(rec, x, `${whose}.encoder`, extra);
    const decode = (whose: string, x: Tensor) => messenger(rec, x, `${whose}.decoder`, extra);
    const question = encode("student", own.low);
    const heard = stopGradient(rec, decode("teacher", stopGradient(rec, question)));
    const answered = again((name, x) => (name === `hidden.${t}` ? rec.reshape(heard, x.shape) : x)).hidden;
    const answer = decode("student", encode("teacher", answered));

    const both = (loss: (level: "low" | "high") => Tensor) =>
      scale(rec, add(rec, byRow(rec, loss("low"), student), byRow(rec, loss("high"), student)), 0.5);
    const kept = (whose: string, x: Tensor) =>
      meanSquare(rec, decode(whose, encode(whose, stopGradient(rec, x))), stopGradient(rec, x));
    const terms = {
      interaction: byRow(rec, meanSquare(rec, own.high, stopGradient(rec, answer)), student),
      message: both((level) =>
        meanSquare(rec, encode("student", own[level]), stopGradient(rec, encode("teacher", theirs[level]))),
      ),
      consistency: both((level) => add(rec, kept("student", own[level]), kept("teacher", theirs[level]))),
    };
    for (const [name, x] of Object.entries(terms)) note(name, x);
    const weighed = [
      scale(rec, terms.interaction, values.interaction_weight),
      scale(rec, terms.message, values.message_weight),
      scale(rec, terms.consistency, values.consistency_weight),
    ];
    return weighed.reduce((a, b) => add(rec, a, b));
  },
});
