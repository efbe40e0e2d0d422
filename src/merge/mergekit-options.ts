/**
 * Options of mergekit's command line that have no effect here. They are accepted, so that old command lines run, and
 * listed.
 */
import type { OptionSpec } from "../method/options.ts";

const without = (help: string) =>
  ({ type: "boolean", help: `of mergekit, accepted: ${help}` }) as const satisfies OptionSpec;
const valued = (help: string) => ({ type: "string", value: "X", help: `of mergekit, accepted: ${help}` }) as const;

/** Accepted, without effect. */
export const mergekitOptions = {
  allow_crimes: without("shapes and names decide here, not architectures"),
  cuda: without("the GPU is used wherever there is one"),
  low_cpu_memory: without("memory is always bounded"),
  read_to_gpu: without("always so"),
  multi_gpu: without("one process uses one GPU; see --shard"),
  gpu_rich: without("no effect"),
  num_threads: valued("no effect"),
  lazy_unpickle: without("pickles are not read"),
  trust_remote_code: without("no code is ever loaded from a checkpoint"),
  copy_tokenizer: without("tokenizer files always travel with the weights"),
  clone_tensors: without("stacked layers are always written apart"),
  safe_serialization: without("always so"),
  write_model_card: without("lineage is in the file; bun run inspect FILE --command prints it"),
  lora_merge_cache: valued("adapters are applied while loading"),
  lora_merge_dtype: valued("adapters are applied in f32"),
  transformers_cache: valued("set HF_HOME"),
  async_write: without("always so"),
  write_threads: valued("no effect"),
} as const satisfies Record<string, OptionSpec>;

/** One line naming those that were given; undefined if none was. */
export function mergekitNotice(options: Readonly<Record<string, unknown>>): string | undefined {
  const given = Object.keys(mergekitOptions).filter((name) => options[name] !== undefined);
  if (given.length === 0) return undefined;
  return `without effect here: ${given.map((name) => `--${name.replaceAll("_", "-")}`).join(", ")}`;
}
