/** What other tools call options: transformers, TRL, mergekit, PEFT, llama.cpp, lm-evaluation-harness. */
import { flagOf, type Options } from "../method/options.ts";

/** Our name of each, without dashes: the first that a script has counts. */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  learning_rate: ["lr"],
  output: ["out"],
  output_dir: ["out"],
  out_path: ["out"],
  output_path: ["out"],
  batch: ["batch_size"],
  bs: ["batch_size"],
  train_batch_size: ["batch_size"],
  per_device_train_batch_size: ["batch_size"],
  per_device_eval_batch_size: ["batch_size"],
  gradient_accumulation_steps: ["accumulate"],
  grad_accum: ["accumulate"],
  max_grad_norm: ["clip"],
  grad_clip: ["clip"],
  warmup_ratio: ["warmup"],
  warmup_steps: ["warmup"],
  lr_scheduler_type: ["schedule"],
  lr_scheduler: ["schedule"],
  optim: ["optimizer"],
  num_train_epochs: ["epochs"],
  num_epochs: ["epochs"],
  max_steps: ["steps"],
  num_steps: ["steps"],
  max_seq_length: ["max_length"],
  max_seq_len: ["max_length"],
  cutoff_len: ["max_length"],
  label_smoothing: ["smoothing"],
  label_smoothing_factor: ["smoothing"],
  packing: ["pack"],
  gradient_checkpointing: ["recompute"],
  activation_checkpointing: ["recompute"],
  lora_r: ["lora_rank"],
  lora_target_modules: ["lora_targets"],
  target_modules: ["lora_targets"],
  approximation_method: ["approximate"],
  k: ["terms"],
  use_lora: ["lora"],
  use_peft: ["lora"],
  use_dora: ["dora"],
  use_rslora: ["rslora"],
  logging_steps: ["log_every"],
  save_steps: ["save_every"],
  eval_steps: ["eval_every"],
  resume_from_checkpoint: ["resume"],
  train_file: ["data"],
  dataset: ["data"],
  dataset_name: ["data"],
  train_data: ["data"],
  data: ["forget"],
  validation_file: ["eval_data"],
  val_data: ["eval_data"],
  eval_dataset: ["eval_data"],
  val_split: ["eval_split"],
  validation_split: ["eval_split"],
  validation_split_percentage: ["eval_split"],
  val_set_size: ["eval_split"],
  test_size: ["eval_split"],
  torch_dtype: ["dtype"],
  precision: ["dtype"],
  random_seed: ["seed"],
  temp: ["temperature", "sample_temperature"],
  t: ["temperature"],
  max_new_tokens: ["max_tokens"],
  max_gen_toks: ["max_tokens"],
  n_predict: ["max_tokens"],
  num_return_sequences: ["samples"],
  n: ["samples", "size"],
  num_samples: ["samples", "size"],
  rep_penalty: ["repetition_penalty"],
  repeat_penalty: ["repetition_penalty"],
  tasks: ["task", "metric"],
  metrics: ["metric"],
  base_model: ["base"],
  merge_method: ["method"],
  teacher_model: ["teacher"],
  student_model: ["student"],
  kd_weight: ["distill_weight"],
  alpha: ["retain_weight", "distill_weight"],
  gamma: ["forget_weight"],
  forget_data: ["forget"],
  retain_data: ["retain"],
  cuda: ["device"],
  gpu: ["device"],
  force: ["overwrite"],
  yes: ["overwrite"],
  clobber: ["overwrite"],
  overwrite_output_dir: ["overwrite"],
  max_shard_size: ["out_shard_size"],
  shard_size: ["out_shard_size"],
};

/** Switches of other tools that are a value here. */
const VALUES: Readonly<Record<string, readonly [option: string, value: string]>> = {
  bf16: ["dtype", "bf16"],
  fp16: ["dtype", "bf16"],
  half: ["dtype", "bf16"],
  load_in_4bit: ["quantize", "4"],
  load_in_8bit: ["quantize", "8"],
  cpu: ["device", "cpu"],
  greedy: ["temperature", "0"],
  do_sample: ["temperature", "1"],
};

/** Names of the model, which other tools give by a flag. */
const MODEL_FLAGS = new Set(["model", "models", "model_name", "model_path", "model_name_or_path", "checkpoint"]);

/** Whether a flag names the model elsewhere. */
export const namesModel = (typed: string): boolean => MODEL_FLAGS.has(typed);

/** The flag of a script that means what was typed (snake_case), where another tool calls it that. */
export function flagMeantBy(typed: string, table: Options): string | undefined {
  const known = Object.hasOwn(SYNONYMS, typed) ? SYNONYMS[typed]! : [];
  const name = known.find((candidate) => Object.hasOwn(table, candidate));
  if (name !== undefined) return flagOf(name);
  const [option, value] = Object.hasOwn(VALUES, typed) ? VALUES[typed]! : [];
  return option !== undefined && Object.hasOwn(table, option) ? `${flagOf(option)} ${value}` : undefined;
}
