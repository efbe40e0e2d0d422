/** How an adapter's config names the modules that it adapts, so that PEFT finds these and no others. */

/** A linear layer by its name. */
interface Named {
  readonly module: string;
}

/** Modules that hold the text part of a model of several parts. */
const TEXT_MODULES = /(?:^|\.)(language_model|text_model)\./;

const escaped = (name: string): string => name.replaceAll(".", "\\.");

/**
 * `target_modules`: last parts of names, or whole names where a last part would select more. `linears` are all that the
 * model has, `others` tensors beside the model's own: a vision tower may have a `q_proj` too, which a pattern over the
 * text part leaves out.
 */
export function targetNames(
  linears: readonly Named[],
  targets: readonly Named[],
  others: readonly string[],
): readonly string[] | string {
  const short = [...new Set(targets.map(({ module }) => shortest(module, linears, targets)))].sort();
  const foreign = others.filter((name) => name.endsWith(".weight")).map((name) => name.replace(/\.weight$/, ""));
  if (!foreign.some((module) => short.some((name) => module === name || module.endsWith(`.${name}`)))) return short;
  const marker = TEXT_MODULES.exec(targets[0]!.module)?.[1] ?? "layers\\.\\d+";
  const pattern = `(?:.*\\.)?${marker}\\.(?:.*\\.)?(?:${short.map(escaped).join("|")})`;
  const matches = new RegExp(`^(?:${pattern})$`);
  const own = new Set(targets.map(({ module }) => module));
  const all = [...linears.map(({ module }) => module), ...foreign];
  return all.every((module) => matches.test(module) === own.has(module)) ? pattern : [...own].sort();
}

/** The last part of a module's name where it selects only targets, the whole name otherwise. */
function shortest(module: string, linears: readonly Named[], targets: readonly Named[]): string {
  const last = module.split(".").at(-1)!;
  const named = linears.filter((target) => target.module === last || target.module.endsWith(`.${last}`));
  return named.every((target) => targets.some((chosen) => chosen.module === target.module)) ? last : module;
}
