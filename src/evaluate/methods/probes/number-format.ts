/**
 * What a model's matrices lose in each number format: signal over noise, and how many values are past its ends. Hao et
 * al., Low-Precision Training of Large Language Models: Methods, Challenges, and Opportunities, 2025,
 * https://arxiv.org/abs/2505.01043
 *
 * Rounding is to nearest, tensor by tensor on the host; nothing is run. A format's `snr` is that of all matrices
 * together, `worst` that of the matrix that loses most.
 */
import { mergeOnCpu } from "../../../checkpoint/adapter/adapter.ts";
import type { TensorEntry } from "../../../checkpoint/checkpoint.ts";
import { type FormatError, formatError, snrOf } from "../../../checkpoint/numbers/format-error.ts";
import { bitsPerValue, type NumberFormat } from "../../../checkpoint/numbers/number-format.ts";
import { UserError } from "../../../errors.ts";
import { checkMethodName, loadMethod, loadMethods } from "../../../method/registry.ts";
import { isRounded } from "../../../run/measuring/quantized-checkpoint.ts";
import { refuseMeasures } from "../../look-at.ts";
import { defineTechnique } from "../../technique.ts";

const ORIGIN = "--number-format-names";

/** Finite numbers, or nothing: JSON has no infinity. */
const finite = (x: number): number | null => (Number.isFinite(x) ? x : null);

const namesOf = (text: string): string[] => text.split(",").map((name) => name.trim());

/** Rows of `width` values, evenly spread: all where there are no more. */
function someRows(values: Float32Array, width: number, most: number): Float32Array {
  const rows = values.length / width;
  if (rows <= most) return values;
  const picked = new Float32Array(most * width);
  for (let k = 0; k < most; k++) {
    const row = Math.floor(((k + 0.5) * rows) / most);
    picked.set(values.subarray(row * width, (row + 1) * width), k * width);
  }
  return picked;
}

interface TensorError extends FormatError {
  readonly tensor: string;
  readonly bits: number;
}

/** The errors of a matrix in every format. Throws UserError for a value that is not finite. */
async function errorsOf(entry: TensorEntry, formats: readonly NumberFormat[], most: number): Promise<TensorError[]> {
  const width = entry.shape.at(-1)!;
  const values = someRows(await mergeOnCpu(entry), width, most);
  try {
    return formats.map((format) => {
      const bits = bitsPerValue(format, width);
      return { tensor: entry.name, bits, ...formatError(values, values.length / width, width, format) };
    });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UserError(`${entry.name}: ${error.message}`, "a matrix that is not finite fits no format");
  }
}

const summary = ({ tensor, bits, overflows, underflows, count, ...error }: TensorError) => ({
  ...{ tensor, bits, snr: finite(snrOf(error)) },
  ...{ overflow: overflows / count, underflow: underflows / count },
});

/** All matrices together. */
function together(format: NumberFormat, errors: readonly TensorError[]) {
  const sum = (of: (error: TensorError) => number) => errors.reduce((all, error) => all + of(error), 0);
  const count = sum((error) => error.count);
  const worst = errors.toSorted((a, b) => snrOf(a) - snrOf(b))[0]!;
  return {
    format: format.name,
    bits: sum((error) => error.bits * error.count) / count,
    snr: finite(snrOf({ signal: sum(({ signal }) => signal), noise: sum(({ noise }) => noise) })),
    worst: finite(snrOf(worst)),
    worst_tensor: worst.tensor,
    overflow: sum(({ overflows }) => overflows) / count,
    underflow: sum(({ underflows }) => underflows) / count,
    tensors: errors.map(summary),
  };
}

export const method = defineTechnique({
  name: "number-format",
  title: "Number formats",
  about: "signal over noise of the models' matrices in number formats, and how many values are past their ends",
  cite: "arXiv:2505.01043",
  metrics: [],
  options: {
    number_format_names: {
      type: "string",
      help: "formats to try, separated by commas: int8, fp8-e4m3, mxfp4, ...; all when left out",
      value: "NAME,...",
    },
    number_format_rows: {
      type: "number.integer >= 1",
      default: 1024,
      help: "rows of a matrix that are rounded, evenly spread; all where it has fewer",
      value: "N",
    },
  },
  laws: { reproducible: true, companions: true },

  check(info) {
    refuseMeasures("number-format", info);
    const { number_format_names: names } = info.values;
    for (const name of names === undefined ? [] : namesOf(names)) checkMethodName("number-format", name, ORIGIN);
  },

  async run({ values, candidates, loader, signal }) {
    const { number_format_names: names, number_format_rows: most } = values;
    const formats =
      names === undefined
        ? await loadMethods("number-format")
        : await Promise.all(namesOf(names).map((name) => loadMethod("number-format", name, ORIGIN)));
    const matrices = candidates.map(({ ref, tensors }) => {
      const own = [...tensors.values()].filter(isRounded);
      if (own.length > 0) return own;
      throw new UserError(`${ref} has no matrices of layers to round`, "name a model");
    });
    loader.begin(
      matrices.reduce((sum, own) => sum + own.length, 0),
      "tensors",
    );
    const rows = [];
    for (const [i, { ref }] of candidates.entries()) {
      const errors: TensorError[][] = [];
      for (const entry of matrices[i]!) {
        signal.throwIfAborted();
        errors.push(await errorsOf(entry, formats, most));
        loader.tick(ref);
      }
      for (const [k, format] of formats.entries()) {
        rows.push({
          model: ref,
          ...together(
            format,
            errors.map((own) => own[k]!),
          ),
        });
      }
    }
    const header = ["model", "format", "bits", "SNR, dB", "worst", "overflow", "underflow"];
    const table = rows.map(({ model, format, bits, snr, worst, overflow, underflow }) => {
      return [model, format, bits, snr ?? undefined, worst ?? undefined, overflow, underflow];
    });
    return { table: [header, ...table], json: { rows } };
  },
});
