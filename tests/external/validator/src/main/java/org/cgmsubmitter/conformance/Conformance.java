package org.cgmsubmitter.conformance;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * {@code Conformance GUIDE WARNINGS RESULTS DIALECT BUNDLE… [--also BUNDLE…] [DIALECT …]}: holds bundles against what their dialect asks for.
 *
 * <p>Each bundle and each of its entries counts as one check. Then the good bundles are broken in memory in many ways, and each must be caught by
 * the message it was broken for. What comes after {@code --also} is validated only: it need not be the same in every run. RESULTS gets a line for
 * each dialect, where nothing failed: the dialect, what it was held against, and what came of it, with tabs between. Exit 0 when all passed, 1 when something failed, 2 when the run as asked could prove nothing.
 */
public final class Conformance {
  /** One entry takes some hundredths of a second; beyond this a run takes minutes and proves no more. */
  private static final int MOST_ENTRIES = 1_500;

  private static final int FAILED = 1;
  private static final int REFUSED = 2;
  private static final int SHOWN_PER_BUNDLE = 20;
  private static final String UNCONDITIONAL = ".unconditional.json";

  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
          .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
          .build();

  /**
   * A bundle as it would be sent.
   *
   * @param file where it is from
   * @param json the bundle
   * @param conditional whether its entries are created on a condition: the file's name says where not
   * @param counted whether every run has it
   * @param known what the receiver has already of what it refers to: the file beside it says so
   */
  private record Sent(String file, ObjectNode json, boolean conditional, boolean counted, List<ObjectNode> known) {}

  private final Guide guide;
  private final AllowedWarnings allowed;
  private int passed;
  private int failed;

  private Conformance(Guide guide, AllowedWarnings allowed) {
    this.guide = guide;
    this.allowed = allowed;
  }

  /** See the class. */
  public static void main(String[] arguments) {
    try {
      System.exit(run(List.of(arguments)));
    } catch (Refusal | IOException why) {
      System.err.println("conformance: " + (why instanceof Refusal ? why.getMessage() : "cannot read " + why.getMessage()));
      System.exit(REFUSED);
    }
  }

  private static int run(List<String> arguments) throws IOException {
    if (arguments.size() < 5) {
      throw new Refusal("nothing to check; usage: GUIDE WARNINGS RESULTS DIALECT BUNDLE… [--also BUNDLE…] [DIALECT …]");
    }
    Map<Dialect, List<Sent>> bundles = read(arguments.subList(3, arguments.size()));
    int entries = bundles.values().stream().flatMap(List::stream).mapToInt(sent -> sent.json().path("entry").size()).sum();
    if (entries > MOST_ENTRIES) {
      throw new Refusal("asked to check " + entries + " entries; at most " + MOST_ENTRIES + " in one run: save less");
    }

    Conformance conformance = new Conformance(new Guide(Path.of(arguments.get(0))), new AllowedWarnings(Path.of(arguments.get(1))));
    List<String> results = new ArrayList<>();
    for (Map.Entry<Dialect, List<Sent>> each : bundles.entrySet()) {
      Tally tally = conformance.hold(each.getKey(), each.getValue());
      results.add(String.join("\t", each.getKey().code(), each.getKey().against(), tally.result()));
    }
    conformance.settleWarnings();
    System.out.println(conformance.passed + " passed, " + conformance.failed + " failed");
    if (conformance.failed > 0) {
      return FAILED;
    }
    Files.write(Path.of(arguments.get(2)), results);
    return 0;
  }

  /** Bundles by dialect; a directory stands for the JSON files in it. */
  private static Map<Dialect, List<Sent>> read(List<String> arguments) throws IOException {
    Map<Dialect, List<Sent>> bundles = new EnumMap<>(Dialect.class);
    Dialect dialect = null;
    boolean counted = true;
    for (String argument : arguments) {
      Optional<Dialect> named = Dialect.of(argument);
      if (named.isPresent()) {
        dialect = named.get();
        counted = true;
        bundles.putIfAbsent(dialect, new ArrayList<>());
      } else if (argument.equals("--also")) {
        counted = false;
      } else if (dialect == null) {
        throw new Refusal(argument + " is no dialect; which is the following bundles'?");
      } else {
        for (Path file : files(Path.of(argument))) {
          bundles.get(dialect).add(new Sent(file.toString(), bundle(file), !file.toString().endsWith(UNCONDITIONAL), counted, known(file)));
        }
      }
    }
    bundles.forEach(
        (each, sent) -> {
          if (sent.stream().noneMatch(Sent::counted)) {
            throw new Refusal("no bundle of " + each.code() + " to check");
          }
        });
    return bundles;
  }

  private static Set<Path> files(Path path) throws IOException {
    Set<Path> files = new TreeSet<>();
    if (Files.isDirectory(path)) {
      try (Stream<Path> all = Files.walk(path)) {
        all.filter(file -> file.toString().endsWith(".json")).forEach(files::add);
      }
    } else {
      files.add(path);
    }
    return files;
  }

  private static ObjectNode bundle(Path file) throws IOException {
    JsonNode content;
    try {
      content = JSON.readTree(file.toFile());
    } catch (JsonProcessingException why) {
      throw new Refusal(file + " is not JSON: " + why.getOriginalMessage());
    }
    if (!(content instanceof ObjectNode bundle) || !Rules.type(content).equals("Bundle")) {
      throw new Refusal(file + " is not a Bundle");
    }
    return bundle;
  }

  private static List<ObjectNode> known(Path bundle) throws IOException {
    Path file = Path.of(bundle + ".known");
    List<ObjectNode> known = new ArrayList<>();
    if (Files.exists(file)) {
      for (JsonNode resource : JSON.readTree(file.toFile())) {
        known.add((ObjectNode) resource);
      }
    }
    return known;
  }

  private Tally hold(Dialect dialect, List<Sent> bundles) {
    Tally tally = new Tally();
    for (Sent sent : bundles) {
      check(dialect, sent);
      tally.resources += sent.counted() ? sent.json().path("entry").size() : 0;
    }
    List<Sent> counted = bundles.stream().filter(Sent::counted).toList();
    Set<ObjectNode> sound = new HashSet<>();
    for (Mistake mistake : Broken.MISTAKES) {
      if (mistake.dialects().contains(dialect)) {
        tally.mistakes++;
        tally.caught += breaks(dialect, mistake, counted, sound) ? 1 : 0;
      }
    }
    passed += tally.caught;
    failed += tally.mistakes - tally.caught;
    return tally;
  }

  private void check(Dialect dialect, Sent sent) {
    int entries = sent.json().path("entry").size();
    List<Finding> wrong = new ArrayList<>();
    for (Finding finding : findings(dialect, sent.json(), sent.conditional(), sent.known())) {
      if (!finding.error()) {
        allowed.count(finding);
      }
      if (isWrong(finding)) {
        wrong.add(finding);
      }
    }
    Set<Integer> about = new TreeSet<>();
    wrong.forEach(finding -> about.add(finding.entry()));
    int bad = (int) about.stream().filter(entry -> entry != Finding.WHOLE).count();
    boolean whole = !about.contains(Finding.WHOLE);
    failed += bad + (whole ? 0 : 1);
    passed += entries - bad + (whole ? 1 : 0);

    System.out.println((wrong.isEmpty() ? "ok     " : "FAILED ") + sent.file() + " (" + entries + " entries)");
    wrong.stream().limit(SHOWN_PER_BUNDLE).forEach(finding -> System.out.println("       " + finding));
    if (wrong.size() > SHOWN_PER_BUNDLE) {
      System.out.println("       and " + (wrong.size() - SHOWN_PER_BUNDLE) + " more");
    }
  }

  /** Errors first. */
  private List<Finding> findings(Dialect dialect, ObjectNode bundle, boolean conditional, List<ObjectNode> known) {
    List<Finding> findings = new ArrayList<>(Rules.check(guide, bundle, conditional));
    findings.addAll(guide.validate(dialect, bundle, known));
    findings.sort(Comparator.comparing((Finding finding) -> !finding.error()).thenComparing(Finding::entry));
    return findings;
  }

  /** Errors, and warnings nobody has allowed. */
  private boolean isWrong(Finding finding) {
    return finding.error() || !allowed.allow(finding);
  }

  private void settleWarnings() {
    allowed.print();
    for (String id : allowed.idle()) {
      failed++;
      System.out.println("FAILED  no warning " + id + " in this run: take it off the list of allowed ones");
    }
  }

  /** Whether the mistake is caught by what it must be caught by, in the smallest bundle it can be made in. */
  private boolean breaks(Dialect dialect, Mistake mistake, List<Sent> bundles, Set<ObjectNode> sound) {
    Good basis =
        bundles.stream()
            .filter(sent -> sent.known().isEmpty())
            .flatMap(sent -> Good.with(mistake.needs(), sent.json(), sent.conditional()).stream())
            .min(Comparator.comparing(Good::size))
            .orElse(null);
    if (basis == null) {
      System.out.printf("%-7s %-8s %-52s none of the bundles has a %s to break%n", "FAILED", dialect.code(), mistake.name(), mistake.needs());
      return false;
    }
    if (sound.add(basis.bundle)) {
      Optional<Finding> bad = findings(dialect, basis.bundle, basis.conditional, List.of()).stream().filter(this::isWrong).findFirst();
      if (bad.isPresent()) {
        System.out.println("FAILED  " + mistake.needs() + ": only a good bundle can be broken; this one has " + bad.get());
        return false;
      }
    }
    Good variant = basis.copy();
    mistake.make().accept(variant);
    // As text: 65.0 and 65.00 are equal as numbers.
    if (variant.bundle.toString().equals(basis.bundle.toString())) {
      throw new IllegalStateException("`" + mistake.name() + "` changed nothing");
    }
    List<Finding> wrong = findings(dialect, variant.bundle, variant.conditional, List.of()).stream().filter(this::isWrong).toList();
    boolean caught = wrong.stream().anyMatch(mistake::isCaughtBy);
    String by = (caught ? "" : "NOT CAUGHT by ") + mistake.says();
    System.out.printf("%-7s %-8s %-52s %s%n", caught ? "caught" : "FAILED", dialect.code(), mistake.name(), by);
    if (!caught) {
      wrong.forEach(finding -> System.out.println("       but " + finding));
    }
    return caught;
  }
}
