/** What the command line asks of every layer: checked before any work. */
import type { NumberFormat, ScaledFormat } from "../checkpoint/numbers/number-format.ts";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import type { Values } from "../method/options.ts";
import { matcher } from "../run/name-patterns.ts";
import type { BitPlan } from "./bit-search/plan-file.ts";
import type { COMPRESS } from "./options.ts";
import type { Pruner, Sparsity } from "./pruner.ts";
import type { Quantizer, Scheme } from "./quantizer.ts";

/** What a matrix is quantised to; the type of its scales is that of the file. */
export type AskedScheme = Omit<Scheme, "scales">;

export interface Choices {
  readonly prune?: { readonly by: Bound<Pruner>; readonly target: Sparsity };
  /** The scheme of a matrix by its name and inputs. */
  readonly quantize?: { readonly by: Bound<Quantizer>; scheme(name: string, columns: number): AskedScheme };
  /** Whether a method asks what layers read. */
  readonly measures: boolean;
}

/** `2:4` */
function patternOf(text: string): Sparsity {
  const [, keep = 0, of = 0] = (/^(\d{1,3}):(\d{1,3})$/.exec(text) ?? []).map(Number);
  if (keep < 1 || of <= keep)
    throw new UserError(`--pattern ${text} is not N:M with N from 1 and M above it`, "for example --pattern 2:4");
  return { keep, of };
}

function sparsityOf({ sparsity, pattern }: Values<typeof COMPRESS>): Sparsity {
  if (sparsity !== undefined && pattern !== undefined)
    throw new UserError("--sparsity and --pattern both say which weights go", "give one of them");
  if (pattern !== undefined) return patternOf(pattern);
  return { share: sparsity ?? 0.5 };
}

/** Bits of a matrix by its name: those of a plan, else the last entry that fits decides. Throws UserError. */
function bitsBy(given: readonly string[], plan: BitPlan | undefined): (name: string) => number {
  const entries = given
    .flatMap((text) => text.split(","))
    .map((text) => {
      const [, glob, bits = ""] = /^(?:(.+)=)?([^=]*)$/.exec(text) ?? [];
      if (!/^[2-8]$/.test(bits))
        throw new UserError(`--bits ${text} is no number of bits`, "2 to 8, or PATTERN=BITS as *.down_proj.*=8");
      return { fits: glob === undefined ? () => true : matcher([glob]), bits: Number(bits) };
    });
  return (name) => plan?.get(name) ?? entries.findLast(({ fits }) => fits(name))?.bits ?? 4;
}

/** The format of `--numbers`. Throws UserError where it has no codes, or the quantizer cannot choose its scales. */
function formatOf(format: NumberFormat, { name, scalesOfFormats }: Quantizer, bits: unknown): ScaledFormat {
  if (format.kind === "plain")
    throw new UserError(`--numbers ${format.name} is a type of plain values`, "for 16 bits give --out-dtype bf16");
  if (bits !== undefined)
    throw new UserError(`--numbers ${format.name} has ${format.bits} bits, and --bits says others`, "leave --bits out");
  if (format.rule !== "absmax" && !scalesOfFormats)
    throw new UserError(
      `${name} chooses scales that are floats, and those of ${format.name} are of one byte`,
      "use --quant rtn",
    );
  return format;
}

/** What a format says of a matrix. */
const inFormat = (format: ScaledFormat, columns: number) => ({
  bits: format.bits,
  ...(format.levels ? { levels: format.levels } : {}),
  group: typeof format.group === "number" && format.group <= columns ? format.group : Number.POSITIVE_INFINITY,
  ...{ symmetric: true, format },
});

/** Throws UserError for choices that do not go together. */
export function chooseWork(
  options: Values<typeof COMPRESS>,
  {
    prune: [pruner],
    quant: [quantizer],
    numbers: [numbers],
  }: {
    readonly prune: readonly Bound<Pruner>[];
    readonly quant: readonly Bound<Quantizer>[];
    readonly numbers: readonly Bound<NumberFormat>[];
  },
  plan?: BitPlan,
): Choices {
  if (!pruner && !quantizer)
    throw new UserError("nothing says what to do with the weights", "give --prune NAME, --quant NAME or both");
  const measures = [pruner, quantizer].some((one) => one?.method.needs === "inputs");
  const asking = pruner?.method.needs === "inputs" ? pruner : quantizer;
  const { calibration, stats, shard } = options;
  if (measures && !calibration && stats === undefined)
    throw new UserError(
      `${asking!.method.name} goes by what layers read, and --calibration is missing`,
      "give rows as the model will read: --calibration rows.jsonl",
    );
  if (calibration && stats !== undefined)
    throw new UserError("--calibration and --stats both say what layers read", "give one of them");
  if (calibration && shard !== undefined)
    throw new UserError(
      "--shard writes its share alone, and with --calibration every block hangs on those before it",
      "measure first (bun run evaluate gram) and give --stats",
    );
  if (stats !== undefined && quantizer?.method.needs === "inputs" && quantizer.method.prepare)
    throw new UserError(
      `${quantizer.method.name} changes what layers read, and --stats holds what they read before`,
      "give --calibration",
    );
  const target = sparsityOf(options);
  pruner?.method.check?.(target, pruner.values);
  const bits = bitsBy(options.bits ?? [], plan);
  const { group, symmetric } = options;
  if (group === 0) throw new UserError("--group 0 is no number of inputs", "1 or more, or -1 for whole rows");
  const format = numbers && quantizer && formatOf(numbers.method, quantizer.method, options.bits);
  const keepZeros = pruner !== undefined;
  const scheme = (name: string, columns: number): AskedScheme =>
    format
      ? { ...inFormat(format, columns), keepZeros }
      : {
          bits: bits(name),
          group: group < 0 || group > columns ? Number.POSITIVE_INFINITY : group,
          ...{ symmetric, keepZeros },
        };
  return {
    ...(pruner ? { prune: { by: pruner, target } } : {}),
    ...(quantizer ? { quantize: { by: quantizer, scheme } } : {}),
    measures,
  };
}
