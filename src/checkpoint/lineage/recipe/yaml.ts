/** YAML documents whose errors name the file, the line and the column, also for mistakes found after parsing. */
import { UserError } from "../../../errors.ts";

export type Path = readonly (string | number)[];

export interface YamlDocument {
  /** Plain objects, arrays and scalars. */
  readonly value: unknown;
  /** An error that points at the node under `path`, or at the nearest node above it. */
  error(path: Path, message: string, hint?: string): UserError;
}

/**
 * Reads every document of a YAML text; empty ones are left out. `<<` merges maps, as PyYAML does. Throws a UserError at
 * the first syntax error, duplicate key, or alias that expands without end.
 */
export async function parseYaml(text: string, file: string): Promise<YamlDocument[]> {
  const { parseAllDocuments, LineCounter, isNode } = await import("yaml");
  const lines = new LineCounter();
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  let parsed: ReturnType<typeof parseAllDocuments>;
  try {
    parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, merge: true, logLevel: "error" });
  } catch (cause) {
    if (cause instanceof RangeError) throw new UserError(`${file} is nested too deeply to be a recipe`);
    throw cause;
  }
  const documents: YamlDocument[] = [];
  for (const document of Array.isArray(parsed) ? parsed : []) {
    const problem = document.errors[0];
    if (problem !== undefined) {
      throw new UserError(`${at(problem.pos[0])}: ${uncapped(problem.message)}`, "the file must be valid YAML");
    }
    if (document.contents === null) continue;
    const error = (path: Path, message: string, hint?: string): UserError => {
      for (let length = path.length; length >= 0; length--) {
        const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
        if (isNode(node) && node.range) return new UserError(`${at(node.range[0])}: ${message}`, hint);
      }
      return new UserError(`${file}: ${message}`, hint);
    };
    let value: unknown;
    try {
      value = document.toJS({ maxAliasCount: 1000 });
    } catch (cause) {
      throw error([], uncapped(cause instanceof Error ? cause.message : String(cause)), "write the values out");
    }
    if (value !== null) documents.push({ value, error });
  }
  return documents;
}

const uncapped = (message: string): string => message.charAt(0).toLowerCase() + message.slice(1).replace(/\.$/, "");
