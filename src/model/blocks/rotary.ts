/** Rotary tables as a config.json asks for them: one for all layers, or one for each kind of layer. */
import { CANNOT_RUN, UserError } from "../../errors.ts";
import { type RopeTables, ropeTables } from "../../tensor/ops/rope-scaling.ts";
import type { Json } from "../architecture.ts";
import { type ConfigReader, numberIn } from "../config.ts";

/** What a rotary table is made from beside config.json. */
export interface RotaryGiven {
  readonly headDim: number;
  readonly maxPositions: number;
  /** Base where the config has none; 10 000 when left out. */
  readonly theta?: number;
  /** Key of the base at the top of the config; `rope_theta` when left out. */
  readonly thetaKey?: string;
  /** Kind of layer that the table is for, where transformers 5 keeps `rope_parameters` by kind. */
  readonly kind?: string;
  /** Scaling is for other layers: this table has none, unless `rope_parameters` gives this kind its own. */
  readonly unscaled?: boolean;
  /** Share of a head that turns where the config does not say; the architecture turns a part of a head only with it. */
  readonly partial?: number;
  /** Names that the config has at its top for `rope_theta` and `partial_rotary_factor`, or beside them. */
  readonly older?: { readonly theta: string; readonly partial: string };
  readonly interleaved?: boolean;
  /** What the architecture reads of what only some do. */
  readonly reads?: readonly (keyof typeof OF_SOME)[];
  /** Types of scaling that mean another here. */
  readonly synonyms?: Readonly<Record<string, string>>;
  /** Numbers that the config keeps beside `rope_scaling` rather than in it. */
  readonly outside?: readonly string[];
}

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `rope_parameters` or `rope_scaling`, and whether it is of this kind of layer alone. Throws UserError. */
function parametersOf(c: ConfigReader, kind: string | undefined): { given: Json | undefined; own: boolean } {
  const together = c.object("rope_parameters");
  const scaling = c.object("rope_scaling") ?? together;
  const perKind = Object.entries(scaling ?? {}).find(([, value]) => isObject(value));
  if (!perKind) return { given: scaling, own: false };
  if (kind === undefined)
    throw new UserError(
      `${c.where}: rope_parameters.${perKind[0]} is of one kind of layer; all layers share one rotary table here`,
      CANNOT_RUN,
    );
  const given = scaling?.[kind];
  if (isObject(given)) return { given, own: true };
  throw new UserError(`${c.where}: rope_parameters has nothing of ${kind}`, "compare it with the model's page");
}

const ABOVE_0 = { least: 0, open: true };

/** A number at the top of the config, under either of two names. Throws UserError where they disagree. */
function eitherNumber(c: ConfigReader, key: string, older: string | undefined, fallback: number): number {
  const value = c.number(key, fallback, ABOVE_0);
  if (older === undefined || !c.has(older)) return value;
  const other = c.number(older, fallback, ABOVE_0);
  if (!c.has(key) || value === other) return other;
  throw new UserError(`${c.where}: ${older} is ${other}, but ${key} is ${value}`, "compare it with the model's page");
}

/** Share of a head that turns. Throws UserError. */
export function turningShare(c: ConfigReader, { partial = 1, older, kind }: Omit<RotaryGiven, "headDim">): number {
  const inner = parametersOf(c, kind).given?.partial_rotary_factor ?? undefined;
  const outer = eitherNumber(c, "partial_rotary_factor", older?.partial, partial);
  return inner === undefined ? outer : numberIn(inner, c.where, "rope_parameters.partial_rotary_factor", ABOVE_0);
}

/** Values of a head that turn. Throws UserError for a part where the architecture turns whole heads. */
function turningValues(c: ConfigReader, given: RotaryGiven): number {
  const { headDim, partial, kind } = given;
  const inner = parametersOf(c, kind).given?.partial_rotary_factor ?? undefined;
  if (partial === undefined) {
    c.only("partial_rotary_factor", 1);
    if (inner === undefined || inner === 1) return headDim;
    throw new UserError(
      `${c.where}: rope_scaling.partial_rotary_factor is ${JSON.stringify(inner)}; here all of a head is rotated (1)`,
      CANNOT_RUN,
    );
  }
  const factor = turningShare(c, given);
  const turning = Math.floor(headDim * factor);
  if (factor > 1 || turning < 2)
    throw new UserError(
      `${c.where}: partial_rotary_factor ${factor} turns ${turning} of the ${headDim} values of a head`,
      "compare it with the model's page",
    );
  return turning;
}

/** What some architectures read of `rope_parameters`, and what it does there. */
const OF_SOME = {
  alpha: "enlarges the rotary base",
  llama_4_scaling_beta: "lets queries grow with the position",
} as const;

/** Throws UserError for a number that would change the table and that the architecture does not read. */
function refuseOthers(c: ConfigReader, parameters: Json | undefined, { reads = [] }: RotaryGiven): void {
  for (const [key, does] of Object.entries(OF_SOME)) {
    const value = parameters?.[key];
    if (value === undefined || value === null || value === 0 || reads.some((known) => known === key)) continue;
    throw new UserError(
      `${c.where}: rope_scaling.${key} is ${JSON.stringify(value)}, which ${does}; ${c.modelType} here does not`,
      CANNOT_RUN,
    );
  }
}

/** The table that a config asks for. Throws UserError. */
export function rotary(c: ConfigReader, given: RotaryGiven): RopeTables {
  const { maxPositions, theta = 10_000, thetaKey = "rope_theta", unscaled, interleaved, synonyms = {} } = given;
  const { given: parameters, own } = parametersOf(c, given.kind);
  const together = unscaled && !own ? undefined : parameters;
  // A base in `rope_parameters` is not that of layers which have a key of their own.
  const shared = own || thetaKey === "rope_theta";
  const inner = shared ? (parameters?.rope_theta ?? c.object("rope_parameters")?.rope_theta ?? undefined) : undefined;
  const base =
    inner === undefined
      ? eitherNumber(c, thetaKey, given.older?.theta, theta)
      : numberIn(inner, c.where, "rope_parameters.rope_theta", ABOVE_0);
  refuseOthers(c, parameters, given);
  const kind = together?.rope_type ?? together?.type;
  const beside = (given.outside ?? []).flatMap((key) => (c.has(key) ? [[key, c.number(key)] as const] : []));
  const scaling = together && {
    ...Object.fromEntries(beside),
    ...together,
    ...(typeof kind === "string" && Object.hasOwn(synonyms, kind) ? { rope_type: synonyms[kind] } : {}),
  };
  const headDim = turningValues(c, given);
  const tables = ropeTables({ headDim, theta: base, scaling, maxPositions, where: c.where });
  return interleaved ? { ...tables, interleaved } : tables;
}
