/** Options of the `merge` script that say how its result is written. */
import type { WriteOptions } from "../checkpoint/write/writer.ts";
import { UserError } from "../errors.ts";
import { parseSize } from "../text/size.ts";

/** What is needed of the context of a script. */
interface Context {
  readonly options: Readonly<Record<string, unknown>>;
  warn(message: string): void;
}

const textOf = (context: Context, name: string): string | undefined => context.options[name] as string | undefined;

/** How the result is written: in shards, or as a GGUF file with its types. Throws UserError. */
export function writeOptions(context: Context): WriteOptions {
  const ggufType = context.options.gguf_type as string[] | undefined;
  const ggufImatrix = textOf(context, "gguf_imatrix");
  const types = { ...(ggufType && { ggufType }), ...(ggufImatrix !== undefined && { ggufImatrix }) };
  const gguf = { ...types, warn: (message: string) => context.warn(message) };
  return { ...gguf, ...shardOptions(context) };
}

/** Options without those that say into how many files a result goes: lineage is the same for every shard. */
export const withoutShards = (options: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(options).filter(([name]) => !/^(out_)?shards?(_size)?$/.test(name)));

function shardOptions(context: Context): WriteOptions {
  const shard = textOf(context, "shard");
  const shards = context.options.shards as number | undefined;
  const size = textOf(context, "out_shard_size");
  const shardBytes = size ? parseSize(size, "out-shard-size") : parseSize(textOf(context, "shard_size")!, "shard-size");
  if (shard === undefined) return { shardBytes, ...(shards === undefined ? {} : { shards }) };
  const [, index = 0, count = 0] = (/^(\d+)\/(\d+)$/.exec(shard) ?? []).map(Number);
  if (!(index >= 1 && index <= count)) {
    throw new UserError(`--shard ${shard} is not I/N with I from 1 to N`, "for example --shard 2/8");
  }
  return { shard: { index, count }, overwrite: context.options.overwrite === true };
}
