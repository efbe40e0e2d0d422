/** Changed matrices as codes, in the layout of a tool. */
import type { Dtype } from "../checkpoint/dtype.ts";
import { schemeOf } from "../checkpoint/numbers/number-format.ts";
import type { QuantizedMatrix } from "../checkpoint/quantized/matrix.ts";
import { storedScales } from "../checkpoint/quantized/scales.ts";
import { groupCount, type MatrixScheme, type WriteLayout } from "../checkpoint/quantized/write/contract.ts";
import { COMPRESSED, WRITE_LAYOUTS, writeLayout } from "../checkpoint/quantized/write/layouts.ts";
import { UserError } from "../errors.ts";
import { isObject } from "../json.ts";
import type { Choices } from "./choices.ts";
import type { Target } from "./matrices.ts";
import { denseStorage, type Storage } from "./storage.ts";

/** What `--format` takes. */
export type FormatName = "auto" | "dense" | "compressed-tensors" | (typeof NAMED)[number];
const NAMED = ["gptq", "gptq-v2", "awq", "mlx", "bnb-4bit", "bnb-int8"] as const;

const PIPED = WRITE_LAYOUTS.filter(({ name }) => ["gptq", "mlx"].includes(name));

const SCALES = { F32: "f32", F16: "f16", BF16: "bf16", "F32/127": "f32" } as const;

interface Wanted {
  readonly targets: readonly Target[];
  readonly quantize: NonNullable<Choices["quantize"]>;
  /** Linear layers that stay as they are, by weight. */
  readonly others: readonly string[];
  /** dtype of the rest of the model. */
  readonly plain: MatrixScheme["plain"];
  /** Through a pipe come only layouts whose headers say all shapes. */
  readonly piped: boolean;
}

/** The scheme of a target in the words of layouts, with scales of a type that the layout holds. */
function schemeIn(layout: WriteLayout, { quantize, plain }: Wanted, target: Target): MatrixScheme {
  const { stored, columns } = target;
  const scheme = quantize.scheme(stored.name, columns);
  const { method, values } = quantize.by;
  const group = scheme.group === Number.POSITIVE_INFINITY ? "row" : scheme.group;
  const reordered = scheme.group < columns && method.reorders?.(values);
  const floats = layout.scales.find((scale) => scale === plain) ?? layout.scales[0]!;
  const { format } = scheme;
  if (format) {
    const scale = format.rule === "absmax" ? floats : format.scale;
    return { ...schemeOf(format, plain), group, scale, ...(reordered ? { reordered: true } : {}) };
  }
  return {
    bits: scheme.bits,
    grid: "integer",
    points:
      layout.name === "mlx" || (method.offsets && !scheme.symmetric)
        ? "offsets"
        : scheme.symmetric
          ? "middle"
          : "zeros",
    group,
    ...(reordered ? { reordered: true } : {}),
    scale: floats,
    plain,
  };
}

/** Why a layout cannot hold one of the targets; undefined where it holds all. */
function misfit(layout: WriteLayout, wanted: Wanted): string | undefined {
  const schemes = new Map<string, MatrixScheme>();
  for (const target of wanted.targets) {
    const { name, shape } = target.stored;
    const scheme = schemeIn(layout, wanted, target);
    const reason = target.inFirst ? "it is stored (in, out)" : layout.fits(name, shape, scheme);
    if (reason !== undefined) return `${name}: ${reason}`;
    schemes.set(JSON.stringify(scheme), scheme);
  }
  return !layout.mixes && schemes.size > 1 ? "all matrices of a file are of one scheme" : undefined;
}

/** The layout that is asked for, or the first that holds all; undefined for plain values. Throws UserError. */
function layoutFor(format: FormatName, wanted: Wanted): WriteLayout | undefined {
  if (format === "dense") return undefined;
  const named = format === "auto" || format === "compressed-tensors" ? undefined : writeLayout(format);
  const all = wanted.piped ? PIPED : [...COMPRESSED, ...WRITE_LAYOUTS];
  const among = named ? [named] : format === "auto" ? all : COMPRESSED;
  const reasons = new Map(among.map((layout) => [layout, misfit(layout, wanted)]));
  const found = among.find((layout) => reasons.get(layout) === undefined);
  if (found || format === "auto") return found;
  throw new UserError(
    `--format ${format} cannot hold the result: ${reasons.get(among[0]!)}`,
    "choose other --bits, --group or --symmetric, leave the matrix out with --ignore, or write --format dense",
  );
}

/** The matrix with offsets in the place of its zero points. */
function withOffsets({ zeros, ...matrix }: QuantizedMatrix, { scale }: MatrixScheme): QuantizedMatrix {
  if (matrix.offsets) return matrix;
  const middle = 2 ** (matrix.bits - 1);
  const offsets = matrix.scales.map((s, i) => -s * (zeros?.[i] ?? middle));
  return { ...matrix, offsets: storedScales(offsets, scale) };
}

/** The matrix with the groups of its columns where the scheme says them, and without where it does not. */
function withGroups({ groupOf, ...matrix }: QuantizedMatrix, { reordered }: MatrixScheme): QuantizedMatrix {
  const { columns, group } = matrix;
  if (!reordered) return matrix;
  const natural = () => Int32Array.from({ length: columns }, (_, column) => Math.floor(column / group));
  return { ...matrix, groupOf: groupOf ?? natural() };
}

/** The matrix with zero points where its layout stores some: those of integers about the middle are alike. */
function withZeros(matrix: QuantizedMatrix): QuantizedMatrix {
  if (matrix.zeros || matrix.offsets) return matrix;
  return { ...matrix, zeros: new Uint8Array(matrix.scales.length).fill(2 ** (matrix.bits - 1)) };
}

function layoutStorage(layout: WriteLayout, wanted: Wanted): Storage {
  const schemes = new Map(wanted.targets.map((target) => [target, schemeIn(layout, wanted, target)]));
  return {
    name: layout.name,
    scales: SCALES[schemes.values().next().value!.scale as keyof typeof SCALES] ?? "f32",
    plan: (target) => layout.plan(target.stored.name, target.stored.shape, schemes.get(target)!),
    fitted(target, matrix) {
      const scheme = schemes.get(target)!;
      const own = withGroups(matrix, scheme);
      const fit =
        scheme.points === "offsets" ? withOffsets(own, scheme) : scheme.points === "zeros" ? withZeros(own) : own;
      return scheme.scale === "F32/127" ? { ...fit, scales: storedScales(fit.scales, scheme.scale) } : fit;
    },
    encode(target, { codes = [] }) {
      const { name, shape } = target.stored;
      const scheme = schemes.get(target)!;
      const tensors = layout.encode(name, joined(codes, scheme), scheme);
      const planned = layout.plan(name, shape, scheme);
      return tensors.map(({ data }, i) => ({ name: planned[i]!.name, bytes: data }));
    },
    files(files) {
      const json: unknown = JSON.parse(new TextDecoder().decode(files.get("config.json")));
      if (!isObject(json)) throw new TypeError("config.json is no object");
      const byName = new Map([...schemes].map(([{ stored }, scheme]) => [stored.name, scheme]));
      const whole = { ...json, ...layout.config(byName, wanted.others) };
      return new Map([...files, ["config.json", new TextEncoder().encode(`${JSON.stringify(whole, null, 2)}\n`)]]);
    },
  };
}

/** Matrices of a stack one below the other. */
function joined(codes: readonly QuantizedMatrix[], scheme: MatrixScheme): QuantizedMatrix {
  const [first, ...more] = codes;
  if (!first) throw new TypeError("a layout of codes needs codes");
  if (more.length === 0) return first;
  const groups = groupCount(scheme, first.columns);
  const rows = first.rows * codes.length;
  const floats = (of: (one: QuantizedMatrix) => Float32Array | undefined) => {
    const all = new Float32Array(rows * groups);
    for (const [i, one] of codes.entries()) all.set(of(one) ?? [], i * first.rows * groups);
    return all;
  };
  const whole = new Uint8Array(rows * first.columns);
  for (const [i, one] of codes.entries()) whole.set(one.codes, i * first.codes.length);
  return {
    ...first,
    ...{ rows, codes: whole, scales: floats((one) => one.scales) },
    ...(first.offsets ? { offsets: floats((one) => one.offsets) } : {}),
  };
}

/** How the matrices are stored. Throws UserError where the format that is asked for cannot hold them. */
export function storageFor(
  format: FormatName,
  wanted: Omit<Wanted, "quantize"> & Pick<Choices, "quantize">,
  dtype?: Dtype,
): Storage {
  const { quantize } = wanted;
  if (!quantize) return denseStorage(dtype);
  const whole = { ...wanted, quantize };
  const layout = layoutFor(format, whole);
  return layout ? layoutStorage(layout, whole) : denseStorage(dtype);
}
