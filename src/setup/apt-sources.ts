/**
 * Reading apt's package sources, in both of their formats, to find the mirror that a machine uses for its own release.
 * See sources.list(5).
 */

/** One source: where it is, which suites and components it offers, and its options ("Signed-By", ...) by field name. */
export interface AptSource {
  readonly types: readonly string[];
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  readonly options: Readonly<Record<string, string>>;
}

/** Spellings of one-line options that differ from the deb822 field by more than case. */
const FIELDS: Readonly<Record<string, string>> = {
  arch: "Architectures",
  lang: "Languages",
  target: "Targets",
  "signed-by": "Signed-By",
  trusted: "Trusted",
  "check-valid-until": "Check-Valid-Until",
};

const words = (text: string): string[] => text.split(/\s+/).filter(Boolean);

/**
 * Reads one-line sources: `deb [signed-by=key arch=amd64] uri suite component...`. Lines that are not sources are left
 * out.
 */
export function parseSourceLines(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)([^#]*)/.exec(line);
    if (!match) continue;
    const [, type = "", options = "", uri = "", suite = "", components = ""] = match;
    const pairs = words(options).flatMap((option) => {
      const [key = "", value] = option.split(/[+-]?=/, 2);
      const field = FIELDS[key.toLowerCase()];
      return field && value ? [[field, value.replaceAll(",", " ")]] : [];
    });
    sources.push({
      types: [type],
      uris: [uri],
      suites: [suite],
      components: words(components),
      options: Object.fromEntries(pairs),
    });
  }
  return sources;
}

/**
 * Reads deb822 sources: stanzas of `Field: value`, continued on indented lines. Stanzas with `Enabled: no` are left
 * out.
 */
export function parseSourceStanzas(text: string): AptSource[] {
  const lines = text.split("\n").filter((line) => !line.startsWith("#"));
  const sources: AptSource[] = [];
  for (const stanza of lines.join("\n").split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    let last = "";
    for (const line of stanza.split("\n")) {
      const field = /^([A-Za-z][\w-]*):\s*(.*)$/.exec(line);
      if (field) {
        last = field[1] ?? "";
        fields.set(last.toLowerCase(), field[2]?.trim() ?? "");
      } else if (last && /^\s+\S/.test(line)) {
        fields.set(last.toLowerCase(), `${fields.get(last.toLowerCase())}\n${line.trimEnd()}`);
      }
    }
    if (!fields.has("uris") || /^(no|false|0)$/i.test(fields.get("enabled") ?? "yes")) continue;
    const kept = Object.values(FIELDS).flatMap((name) => {
      const value = fields.get(name.toLowerCase());
      return value ? [[name, value]] : [];
    });
    sources.push({
      types: words(fields.get("types") ?? ""),
      uris: words(fields.get("uris") ?? ""),
      suites: words(fields.get("suites") ?? ""),
      components: words(fields.get("components") ?? ""),
      options: Object.fromEntries(kept),
    });
  }
  return sources;
}

/** Reads a file of sources; its name says which format it is in. */
export const parseSources = (name: string, text: string): AptSource[] =>
  name.endsWith(".sources") ? parseSourceStanzas(text) : parseSourceLines(text);

const offersMain = (source: AptSource, suite: string): boolean =>
  source.types.includes("deb") && source.suites.includes(suite) && source.components.includes("main");

/**
 * A deb822 stanza for the backports of a release, on the mirror that serves the release itself and with the same keys.
 * Undefined when the sources have backports already, or do not say where the release comes from.
 */
export function backportsStanza(sources: readonly AptSource[], codename: string): string | undefined {
  if (sources.some((source) => offersMain(source, `${codename}-backports`))) return undefined;
  const own = sources.find((source) => offersMain(source, codename));
  if (!own) return undefined;
  const fields = [
    ["Types", "deb"],
    ["URIs", own.uris.join(" ")],
    ["Suites", `${codename}-backports`],
    ["Components", "main"],
    ...Object.entries(own.options),
  ];
  return `${fields.map(([name, value]) => `${name}: ${value}`).join("\n")}\n`;
}
