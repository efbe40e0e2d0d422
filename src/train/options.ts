/** Options of `train`: those of every script that trains, its losses, and inputs that are moved against the model. */
import { TRAIN_DEMOS } from "../data/demonstrations/options.ts";
import type { Options } from "../method/options.ts";
import { ADVERSARIAL } from "../run/adversarial/options.ts";
import { EXPERT_STORE } from "../run/expert-store.ts";
import { CARRIED } from "../run/training/carried-state.ts";
import { CLASS_LOSSES } from "../run/training/class-losses.ts";
import { GRADIENT_RULE } from "../run/training/gradient-rule.ts";
import { LABEL_LOSS } from "../run/training/label-loss.ts";
import { RUN } from "../run/training/options.ts";
import { SHIFT } from "../run/training/shift-detector.ts";
import { AMONG } from "./among/options.ts";
import { CHAIN } from "./batches/chain-forward.ts";
import { DENOISING } from "./batches/denoisers.ts";
import { PLANT } from "./batches/plant.ts";
import { CREDIT } from "./credit.ts";
import { MATCH } from "./domains/options.ts";
import { MOE_TRAIN } from "./layers/ewa.ts";
import { CERTIFIED } from "./losses/certified-options.ts";
import { PROBING } from "./probing.ts";
import { HOMEOSTAT } from "./schedules/homeostat.ts";
import { SCHEDULE_SEARCH } from "./schedules/schedule-search.ts";
import { DYNAMIC, PRUNING, SUPERNET, TWO_SIZES } from "./widths/options.ts";

export const TRAIN = {
  ...RUN,
  ...CARRIED,
  ...MATCH,
  ...EXPERT_STORE,
  // Of a step of training the order is known: every expert of a layer in turn, and back.
  cache_policy: { ...EXPERT_STORE.cache_policy, default: "oracle" },
  increment_mask: {
    type: "number > 0",
    needs: ["adapter", "lora", "lora_continue"],
    help: "weight of what the adapter adds to layers at the tokens of prompts, where it is to add nothing",
    value: "X",
  },
  increment_groups: {
    type: "string[]",
    needs: "increment_mask",
    help: "groups of --data at whose answers, too, the adapter is to add nothing",
    value: "NAME",
  },
  prompt_drop: {
    type: "0 <= number < 1",
    default: 0,
    help: "chance that a row is shown without its prompt, of which the first token stays",
    value: "P",
  },
  prompt_shuffle: {
    type: "0 <= number <= 1",
    default: 0,
    help: "chance that a row is shown with the prompt of another row of its group",
    value: "P",
  },
  prompt_until: {
    type: "0 < number <= 1",
    needs: ["prompt_drop", "prompt_shuffle"],
    help: "share of the steps until which both chances fall to 0, in a line; they stay when left out",
    value: "F",
  },
  prompt_weight: {
    type: "number >= 0",
    needs: ["prompt_drop", "prompt_shuffle"],
    help: "what rows with a changed prompt weigh at the last step, from 1 at the first, in a line",
    value: "W",
  },
  ...TRAIN_DEMOS,
  ...MOE_TRAIN,
  ...DENOISING,
  ...CHAIN,
  ...PLANT,
  shift_warn: {
    type: "boolean",
    default: false,
    help: "warn where the loss of steps rises far beyond how it varies: the data may have changed",
  },
  shift_window: { ...SHIFT.shift_window, needs: "shift_warn" },
  shift_smoothing: { ...SHIFT.shift_smoothing, needs: "shift_warn" },
  shift_sigmas: { ...SHIFT.shift_sigmas, needs: "shift_warn" },
  shift_floor: { ...SHIFT.shift_floor, needs: "shift_warn" },
  ...SCHEDULE_SEARCH,
  ...HOMEOSTAT,
  log_fau: {
    type: "number.integer >= 1",
    help: "steps between lines of --log that tell how many hidden units are active, and how many dormant",
    value: "N",
  },
  fau_rows: {
    type: "number.integer >= 1",
    default: 16,
    needs: "log_fau",
    help: "first rows of --data on which they are counted",
    value: "N",
  },
  ...PROBING,
  ...LABEL_LOSS,
  ...CREDIT,
  ...GRADIENT_RULE,
  ...AMONG,
  prequential: {
    type: "boolean",
    default: false,
    help: "one pass over the rows in their order, each answered before it is learnt; tells the accuracy on the way",
  },
  loss_balance: {
    type: "'none' | 'awl'",
    default: "none",
    help: "weigh rows by a small network that learns from their losses, and those of the model as it was, how sure they are",
  },
  head: {
    type: "'own' | 'etf' | 'sparse-etf'",
    default: "own",
    help: "what the body of a classifier is trained by: its own head, one that is set to a simplex of classes as far apart as can be and held, or a sparse one beside its own",
  },
  heads: {
    type: "'one' | 'per-domain'",
    default: "one",
    help: "heads of a classifier: one, or one for each group of --data beside it, combined by how sure they are",
  },
  heads_gamma: {
    type: "number",
    default: 1,
    with: { heads: "per-domain" },
    help: "a head weighs its entropy to the power of -GAMMA in the answer; negative: the surest head alone",
    value: "GAMMA",
  },
  new_front: {
    type: "boolean",
    default: false,
    help: "add a task to an mlp-tasks and train its own input map, gate and head on --data; all else is frozen",
  },
  part_head: {
    type: "number.integer >= 1",
    help: "of an mlp with input_parts: train a head of so many outputs on what it makes of one part; all else is frozen",
    value: "K",
  },
  etf_sparsity: {
    type: "0 <= number < 1",
    default: 0.6,
    with: { head: "sparse-etf" },
    help: "share of the fixed head's weights that are zero",
    value: "F",
  },
  etf_steps: {
    type: "number.integer >= 0",
    default: 10_000,
    with: { head: "sparse-etf" },
    help: "steps of descent, before training, that spread the fixed head's classes again; on the host",
    value: "N",
  },
  private_head: {
    type: "string",
    writes: "checkpoint",
    with: { head: "sparse-etf" },
    help: "train a second head on the same features, and write the model with it in place of its own here",
    value: "OUT",
  },
  private_from: {
    type: "string",
    needs: "private_head",
    help: "what --private-head of an earlier run wrote: its head goes on; the own head's values when left out",
    value: "MODEL",
  },
  output_scale: {
    type: "number > 0",
    help: "train so many times the outputs less those of the model as it began, by a loss over its square: large is lazy, small makes features",
    value: "A",
  },
  output_centred: {
    type: "boolean",
    default: true,
    needs: "output_scale",
    help: "take away what the model says as it began; --no-output-centred scales the outputs as they are",
  },
  ...CLASS_LOSSES,
  ...ADVERSARIAL,
  adversarial_loss: {
    type: "'moved' | 'smooth'",
    default: "moved",
    needs: "adversarial",
    help: "what is minimised: the loss of moved rows, or that of rows as they are and how far their margins move",
  },
  smooth_weight: {
    type: "number >= 0",
    default: 1,
    with: { adversarial_loss: "smooth" },
    help: "weight of how far margins move",
    value: "NU",
  },
  smooth_rho: {
    type: "number > 0",
    default: 1,
    with: { adversarial_loss: "smooth" },
    help: "divides the margins that the loss of rows as they are reads",
    value: "RHO",
  },
  ...CERTIFIED,
  ...SUPERNET,
  ...PRUNING,
  ...DYNAMIC,
  ...TWO_SIZES,
} as const satisfies Options;
