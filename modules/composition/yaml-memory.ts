/** Reading YAML once: a merge looks at the same texts again and again, and reading them is most of its time. */
import { readYaml, type YamlText } from "../../daemon/yaml.ts";

const rememberedTexts = 32;
const longestText = 16 * 1024;

const known = new Map<string, YamlText>();

/**
 * As `readYaml`; what it returns is shared and must not be changed.
 * @throws CodedError COMPOSITION_INVALID with details.issues
 */
export function readYamlOnce(text: string): YamlText {
  const yaml = known.get(text) ?? readYaml(text);
  if (text.length > longestText) return yaml;
  known.delete(text);
  known.set(text, yaml);
  if (known.size > rememberedTexts) known.delete(known.keys().next().value as string);
  return yaml;
}
