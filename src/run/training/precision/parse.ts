/** Reads `--precision`: which numbers weights, activations and gradients are in. */
import type { NumberFormat } from "../../../checkpoint/numbers/number-format.ts";
import { UserError } from "../../../errors.ts";
import { loadMethod } from "../../../method/registry.ts";
import { checkArithmetic } from "../../../tensor/ops/number-format.ts";

const PARTS = ["weights", "activations", "gradients"] as const;
type Part = (typeof PARTS)[number];

/** What the parts of a linear layer are in; f32 where nothing is said. */
export interface PrecisionParts {
  readonly weights?: NumberFormat;
  readonly activations?: NumberFormat;
  readonly gradients?: NumberFormat;
  /** Bits of weights whose steps are learnt, in the place of a format. */
  readonly learned?: number;
}

const LEARNED = /^int([2-8])-qat$/;
/** FP8 as trainings have it: more digits forward, more range back. */
const FP8: Readonly<Record<Part, string>> = { weights: "fp8-e4m3", activations: "fp8-e4m3", gradients: "fp8-e5m2" };

const isPart = (name: string): name is Part => PARTS.some((part) => part === name);

/** Formats by part, as they are written. */
function written(text: string): Map<Part, string> {
  if (!text.includes("=")) {
    const name = text.trim();
    const parts = LEARNED.test(name) ? (["weights"] as const) : PARTS;
    return new Map(parts.map((part) => [part, name]));
  }
  const found = new Map<Part, string>();
  for (const term of text.split(",")) {
    const [part = "", name = ""] = term.split("=").map((word) => word.trim());
    if (!isPart(part) || name === "")
      throw new UserError(
        `--precision ${text}: ${term} says no part`,
        `write weights=FORMAT, activations=FORMAT or gradients=FORMAT, with commas between them`,
      );
    if (found.has(part)) throw new UserError(`--precision ${text} says ${part} twice`, "leave one of them out");
    found.set(part, name);
  }
  return found;
}

/** Throws UserError for what is no part, no format, or no format to compute with. */
export async function parsePrecision(text: string): Promise<PrecisionParts> {
  const parts: { -readonly [P in keyof PrecisionParts]: PrecisionParts[P] } = {};
  for (const [part, name] of written(text)) {
    const bits = LEARNED.exec(name)?.[1];
    if (bits !== undefined) {
      if (part !== "weights")
        throw new UserError(`--precision ${part}=${name}: steps are learnt of weights alone`, `write ${part}=int8`);
      parts.learned = Number(bits);
      continue;
    }
    if (name === "f32") continue;
    const format = await loadMethod("number-format", name === "fp8" ? FP8[part] : name, "--precision");
    checkArithmetic(format);
    parts[part] = format;
  }
  return parts;
}
