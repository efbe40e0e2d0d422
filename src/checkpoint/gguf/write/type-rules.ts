/**
 * Which type each tensor gets: `--gguf-type q8_0` for all matrices, `q4_k_m` for a mix of types, and others by pattern,
 * `'q4_0,*.ffn_down.*=q8_0'`. Patterns are globs over the names of the file (`blk.0.ffn_down.weight`) or of the
 * checkpoint (`model.layers.0.mlp.down_proj.weight`); of several that match, the last one decides.
 */
import { UserError } from "../../../errors.ts";
import { isMix, MIX_NAMES, type MixedModel, type MixName, mixedType } from "./mixes.ts";
import { isTarget, TARGET_NAMES, type TargetName } from "./targets.ts";

interface Rule {
  readonly pattern: string;
  readonly type: TargetName;
}

/** What `--gguf-type` says. Without a type of all matrices each keeps the one that it has. */
export interface TypeRules {
  readonly all: TargetName | MixName | undefined;
  readonly rules: readonly Rule[];
}

/** Reads the parts of `--gguf-type`, which may hold commas. Throws UserError for a type that is not known. */
export function parseTypeRules(parts: readonly string[]): TypeRules {
  let all: TypeRules["all"];
  const rules: Rule[] = [];
  for (const part of parts.flatMap((text) => text.split(",")).map((text) => text.trim())) {
    if (part === "") continue;
    const equals = part.lastIndexOf("=");
    const name = part
      .slice(equals + 1)
      .trim()
      .toLowerCase();
    if (isMix(name) && equals >= 0) {
      throw new UserError(
        `--gguf-type: ${name} is a mix of types for a whole model, not the type of ${part.slice(0, equals).trim()}`,
        `write '${name},${part.slice(0, equals).trim()}=q6_k'`,
      );
    }
    if (!isTarget(name) && !isMix(name)) {
      throw new UserError(
        `--gguf-type: ${JSON.stringify(name)} is not a type that is written`,
        `choose of ${TARGET_NAMES.join(", ")}, or of the mixes ${MIX_NAMES.join(", ")}`,
      );
    }
    if (equals >= 0 && isTarget(name)) rules.push({ pattern: part.slice(0, equals).trim(), type: name });
    else if (all === undefined) all = name;
    else {
      throw new UserError(
        `--gguf-type names two types for all matrices, ${all} and ${name}`,
        `give one a pattern: '${all},*.ffn_down.*=${name}'`,
      );
    }
  }
  if (all === undefined && rules.length === 0 && parts.length > 0)
    throw new UserError("--gguf-type names no type", "for example q8_0 or q4_k_m; is a shell variable unset?");
  return { all, rules };
}

/**
 * The type that the rules give to tensors, asked name by name; `finish` throws UserError for a pattern that met no
 * tensor.
 */
export function typeChooser({ all, rules }: TypeRules, model: MixedModel) {
  const compiled = rules.map((rule) => ({ ...rule, glob: new Bun.Glob(rule.pattern), used: false }));
  return {
    /** `stored` is the name in the file, `plain` that in the checkpoint. */
    of(stored: string, plain: string): TargetName | undefined {
      let found = all !== undefined && isMix(all) ? mixedType(all, stored, model) : all;
      for (const rule of compiled) {
        if (!rule.glob.match(stored) && !rule.glob.match(plain)) continue;
        rule.used = true;
        found = rule.type;
      }
      return found;
    },
    finish(example: string): void {
      const unused = compiled.find(({ used }) => !used);
      if (unused === undefined) return;
      throw new UserError(
        `--gguf-type: the pattern ${JSON.stringify(unused.pattern)} matches no matrix that can have another type`,
        `names are those of the file, such as ${example}, or of the checkpoint; norms and biases stay f32`,
      );
    },
  };
}
