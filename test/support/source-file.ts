import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import ts from 'typescript';

export interface Import {
  /** As written. */
  specifier: string;
  /** From the repository's root, or null for a package. */
  file: string | null;
  /** `import type`, or only names marked `type`. */
  typeOnly: boolean;
  names: string[];
}

/** One source file, read for the architecture test. */
export interface SourceFile {
  /** From the repository's root. */
  path: string;
  lines: number;
  tree: ts.SourceFile;
  imports: Import[];
}

const ROOT = join(import.meta.dirname, '../..');

/** Every TypeScript file under a folder of this repository. */
export function sourceFiles(folder: string): SourceFile[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => read(join(folder, name)));
}

/** Every node of the tree, the root first. */
export function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node;
  const children: ts.Node[] = [];
  ts.forEachChild(node, (child) => void children.push(child));
  for (const child of children) yield* nodesOf(child);
}

function read(path: string): SourceFile {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const imports = [...nodesOf(tree)].flatMap((node) => {
    const found = importOf(node);
    return found ? [{ ...found, file: resolve(path, found.specifier) }] : [];
  });
  return { path, lines: text.trimEnd().split('\n').length, tree, imports };
}

function importOf(node: ts.Node): Omit<Import, 'file'> | null {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
    const clause = node.importClause;
    const bindings = clause?.namedBindings;
    const named = bindings && ts.isNamedImports(bindings) ? bindings.elements : [];
    const allTypes = named.length > 0 && named.every(({ isTypeOnly }) => isTypeOnly);
    const typeOnly = clause?.phaseModifier === ts.SyntaxKind.TypeKeyword || (allTypes && !clause?.name);
    const names = named.map(({ propertyName, name }) => (propertyName ?? name).text);
    return { specifier: node.moduleSpecifier.text, typeOnly, names };
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
    return { specifier: node.moduleSpecifier.text, typeOnly: node.isTypeOnly, names: [] };
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const [specifier] = node.arguments;
    if (specifier && ts.isStringLiteral(specifier)) return { specifier: specifier.text, typeOnly: false, names: [] };
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && ts.isStringLiteral(node.argument.literal)) {
    return { specifier: node.argument.literal.text, typeOnly: true, names: [] };
  }
  return null;
}

function resolve(from: string, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null;
  return relative('.', normalize(join(dirname(from), specifier.replace(/\.js$/, '.ts'))));
}
