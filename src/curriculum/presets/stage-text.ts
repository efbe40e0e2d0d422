/** Stages of a preset as a file that `curriculum --stages` runs. */
import { basename, extname } from "node:path";
import { quote } from "../../text/quote.ts";
import type { Stage } from "./contract.ts";

const nameOf = ({ makes }: Stage): string => (makes === undefined ? "measured" : basename(makes, extname(makes)));

/** YAML in which the first line of every command is one string; `head` is its first comment. */
export async function stagesOf(head: readonly string[], to: string, stages: readonly Stage[]): Promise<string> {
  const { stringify } = await import("yaml");
  const names = new Map(stages.flatMap((stage) => (stage.makes === undefined ? [] : [[stage.makes, nameOf(stage)]])));
  const put = (word: string): string => {
    const name = names.get(word);
    return name === undefined ? quote(word.replaceAll("${", "$${")) : `\${${name}}`;
  };
  const written = stages.map((stage) => {
    const isScript = stage.words[0] === "ingot";
    const words = (isScript ? stage.words.slice(1) : stage.words).map(put).join(" ");
    const makes = stage.makes !== undefined && extname(stage.makes) !== "" ? { makes: basename(stage.makes) } : {};
    return { name: nameOf(stage), title: stage.title, [isScript ? "run" : "program"]: words, ...makes };
  });
  const comment = head.map((line) => `# ${line}`.trimEnd()).join("\n");
  return `${comment}\n${stringify({ to, stages: written }, { lineWidth: 0 })}`;
}
