/**
 * The examples of docs/adding-a-method.md, one for each kind of method: its file, a test of it and the commands that
 * run it. The page is the only source: `ingot new` copies an example under another name, and test/docs puts all of
 * them in place.
 */
import { join, posix } from "node:path";
import { UserError } from "../errors.ts";
import { FOLDERS, type Kind } from "../method/kinds.ts";

/** A file of a project, its path from the root. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

export interface Template {
  /** What users type: the kind, or a word for one of its folders ("sampler" of the kind "curriculum"). */
  readonly word: string;
  readonly kind: Kind;
  /** The method's file. */
  readonly method: SourceFile;
  readonly test: SourceFile;
  /** Commands that run it. */
  readonly commands: string;
}

/** The page that holds the examples. */
export const PAGE = join(import.meta.dir, "../../docs/adding-a-method.md");

const fenced = (section: string, language: string): string[] =>
  [...section.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm"))].map(([, text]) => text!);

/** A block whose first line is a comment with the path of the file that it is. */
function fileOf(block: string): SourceFile {
  const [, path, text] = /^\/\/ (\S+)\n([\s\S]*)$/.exec(block) ?? [];
  if (path === undefined) throw new SyntaxError("adding-a-method.md: a block of code does not begin with its path");
  return { path, text: text! };
}

/** The kind whose folder a file is in. */
function kindOf(path: string): Kind {
  const found = (Object.keys(FOLDERS) as Kind[]).find((kind) =>
    FOLDERS[kind].some((folder) => path.startsWith(`src/${folder}/`)),
  );
  if (!found) throw new SyntaxError(`adding-a-method.md: ${path} is in no folder of methods`);
  return found;
}

/** The commands that make what the commands of all examples read. */
export const preparation = (page: string): string => fenced(page.split(/^## /m)[0]!, "sh").join("");

/**
 * The examples of the page, in its order: sections with two files and their commands. Throws SyntaxError for a section
 * without.
 */
export function templates(page: string): Template[] {
  return page
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const word = section.split("\n")[0]!.trim();
      const [method, test, ...more] = fenced(section, "ts").map(fileOf);
      const commands = fenced(section, "sh").join("");
      if (!method || !test || more.length > 0 || commands === "")
        throw new SyntaxError(`adding-a-method.md: the section ${word} needs a method, a test and commands`);
      return { word, kind: kindOf(method.path), method, test, commands };
    });
}

/** The same relative imports from another folder; `relocated` gives the new path of an imported file. */
function moved(text: string, from: string, to: string, relocated: (path: string) => string): string {
  return text.replaceAll(/(from )"(\.{1,2}\/[^"]+)"/g, (_, before, target) => {
    const path = posix.relative(to, relocated(posix.join(from, target)));
    return `${before}"${path.startsWith(".") ? path : `./${path}`}"`;
  });
}

/** Kinds whose methods have names in snake_case: users know them from mergekit and from config.json. */
const SNAKE: readonly Kind[] = ["merge", "architecture"];

/**
 * The files and commands of an example under another name, in kebab case, and in another folder of its kind; `typed` is
 * the name that the method has.
 *
 *   const { files } = filled(template, "my-merge", "src/merge/methods/averages");
 */
export function filled(
  { kind, method, test, commands }: Template,
  name: string,
  folder = posix.dirname(method.path),
): { files: SourceFile[]; commands: string; typed: string } {
  const example = posix.basename(method.path, ".ts");
  const snake = name.replaceAll("-", "_");
  const typed = SNAKE.includes(kind) ? snake : name;
  const capital = (text: string) => text.replace(/^./, (letter) => letter.toUpperCase());
  const renamed = (text: string) =>
    text
      .replaceAll(`title: "${capital(example)}"`, `title: "${capital(name.replaceAll("-", " "))}"`)
      .replaceAll(new RegExp(`\\b${example}(?=_[a-z])`, "g"), snake)
      .replaceAll(new RegExp(`(?<=--)${example}(?=-)`, "g"), name)
      .replaceAll(`"${example}"`, `"${typed}"`)
      .replaceAll(`/${example}.ts"`, `/${name}.ts"`);
  const mirror = (path: string) => path.replace(/^src/, "test");
  const place = (path: string) => {
    const to = posix.dirname(path) === posix.dirname(method.path) ? folder : mirror(folder);
    return posix.join(to, posix.basename(path).replace(example, name));
  };
  const target = place(method.path);
  const files = [method, test].map(({ path, text }) => {
    const own = (imported: string) => (posix.basename(imported) === `${name}.ts` ? target : imported);
    const to = place(path);
    return { path: to, text: moved(renamed(text), posix.dirname(path), posix.dirname(to), own) };
  });
  return {
    files,
    typed,
    commands: commands
      .replaceAll(new RegExp(`(?<= )${example}(?=[ \n/.])`, "g"), name)
      .replaceAll(new RegExp(`(?<=--)${example}(?=-)`, "g"), name)
      .replaceAll(`"${example}"`, `"${typed}"`),
  };
}

/** The name of a method's file, from what was typed. Throws UserError for what no method can be called. */
export function checkedName(typed: string): string {
  const name = typed.replaceAll("_", "-");
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name))
    throw new UserError(
      `${typed} cannot be the name of a method`,
      "use lower-case letters, digits and hyphens, and begin with a letter: my-method",
    );
  return name;
}
