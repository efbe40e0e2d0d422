/** Manual pages in roff, from the tables of options: `ingot man merge | man -l -`. */
import { definitionOf } from "./definitions.ts";
import { typedWords, type Word } from "./words.ts";

/** A text as roff takes it: its escapes, and lines that would begin a request. */
const roff = (text: string): string =>
  text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll(/^(?=[.'])/gm, "\\&");

function entry({ flag, letter, help, values }: Word): string {
  const value = values === undefined ? "" : " \\fIVALUE\\fR";
  const names = [flag, ...(letter === undefined ? [] : [`-${letter}`])].map((name) => `\\fB${roff(name)}\\fR`);
  const list = values && values.length > 0 ? `; one of ${values.join(", ")}` : "";
  return `.TP\n${names.join(", ")}${value}\n${roff(help + list)}`;
}

/** The page of a script: its words, and those of its sub-commands. Throws UserError where there is no such script. */
export async function manualPage(script: string, version: string): Promise<string> {
  const { name, about, args = "", examples, notes = "" } = await definitionOf(script);
  const [own, ...commands] = await typedWords(script);
  const commandParts = commands.map(
    (one) => `.SS ${roff(`ingot ${one.name}`)}\n${roff(one.about)}\n${one.words.map(entry).join("\n")}`,
  );
  const shown = examples.map((line) => `.PP\n.nf\n${roff(line.replaceAll(/\bbun run (?=[a-z])/g, "ingot "))}\n.fi`);
  const paragraphs = notes.trim() === "" ? [] : [".SH NOTES", `.nf\n${roff(notes.trim())}\n.fi`];
  return `${[
    `.TH INGOT\\-${roff(name.toUpperCase())} 1 "" "ingot ${version}"`,
    `.SH NAME\ningot\\-${roff(name)} \\- ${roff(about)}`,
    `.SH SYNOPSIS\n.B ingot ${roff(name)}\n${roff(`${args} [options]`.trim())}`,
    ...(shown.length > 0 ? [`.SH EXAMPLES\n${shown.join("\n")}`] : []),
    `.SH OPTIONS\n${own?.words.map(entry).join("\n") ?? ""}`,
    ...(commandParts.length > 0 ? [`.SH COMMANDS\n${commandParts.join("\n")}`] : []),
    ...paragraphs,
  ].join("\n")}\n`;
}
