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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * {@code Conformance [--broken] GUIDE WARNINGS BUNDLE…}: holds saved submissions against the HL7 CGM guide.
 *
 * <p>Each bundle and each of its entries counts as one check. With {@code --broken}, good bundles are broken in memory in many ways and each must
 * be caught. Exit 0 when all passed, 1 when something failed, 2 when the run as asked could prove nothing.
 */
public final class Conformance {
  /** One entry takes some hundredths of a second; beyond this a run takes minutes and proves no more. */
  private static final int MOST_ENTRIES = 1_500;

  private static final int FAILED = 1;
  private static final int REFUSED = 2;
  private static final int SHOWN_PER_BUNDLE = 20;

  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
          .disable(JsonNodeFeature.STRIP_TRAILING_BIGDECIMAL_ZEROES)
          .build();

  private final Guide guide;
  private final AllowedWarnings allowed;
  private final Map<String, Integer> warnings = new TreeMap<>();
  private final Map<String, String> reasons = new LinkedHashMap<>();
  private int passed;
  private int failed;

  private Conformance(Guide guide, AllowedWarnings allowed) {
    this.guide = guide;
    this.allowed = allowed;
  }

  /** See the class. */
  public static void main(String[] arguments) {
    try {
      System.exit(run(new ArrayList<>(List.of(arguments))));
    } catch (Refusal | IOException why) {
      System.err.println("conformance: " + (why instanceof Refusal ? why.getMessage() : "cannot read " + why.getMessage()));
      System.exit(REFUSED);
    }
  }

  private static int run(List<String> arguments) throws IOException {
    boolean broken = arguments.remove("--broken");
    if (arguments.size() < 3) {
      throw new Refusal("nothing to check; usage: [--broken] GUIDE WARNINGS BUNDLE…");
    }
    Path directory = Path.of(arguments.get(0));
    if (!Files.isDirectory(directory)) {
      throw new Refusal("no guide at " + directory + ": set CGM_IG_DIR to the directory of HL7 CGM 1.0.0");
    }
    Map<String, ObjectNode> bundles = read(arguments.subList(2, arguments.size()));
    int entries = bundles.values().stream().mapToInt(bundle -> bundle.path("entry").size()).sum();
    if (entries == 0) {
      throw new Refusal("nothing to check: " + bundles.size() + " bundles without an entry");
    }
    if (entries > MOST_ENTRIES) {
      throw new Refusal("asked to check " + entries + " entries; at most " + MOST_ENTRIES + " in one run: save a shorter window");
    }

    Conformance conformance = new Conformance(new Guide(directory), new AllowedWarnings(Path.of(arguments.get(1))));
    if (broken) {
      conformance.breakEach(bundles);
    } else {
      bundles.forEach(conformance::check);
      conformance.printWarnings();
    }
    System.out.println(conformance.passed + " passed, " + conformance.failed + " failed");
    return conformance.failed == 0 ? 0 : FAILED;
  }

  /** Bundles by file name; a directory stands for the JSON files in it. */
  private static Map<String, ObjectNode> read(List<String> arguments) throws IOException {
    Set<Path> files = new TreeSet<>();
    for (String argument : arguments) {
      Path path = Path.of(argument);
      if (Files.isDirectory(path)) {
        try (Stream<Path> all = Files.walk(path)) {
          all.filter(file -> file.toString().endsWith(".json")).forEach(files::add);
        }
      } else {
        files.add(path);
      }
    }
    Map<String, ObjectNode> bundles = new LinkedHashMap<>();
    for (Path file : files) {
      JsonNode content;
      try {
        content = JSON.readTree(file.toFile());
      } catch (JsonProcessingException why) {
        throw new Refusal(file + " is not JSON: " + why.getOriginalMessage());
      }
      if (!(content instanceof ObjectNode bundle) || !Rules.type(content).equals("Bundle")) {
        throw new Refusal(file + " is not a Bundle");
      }
      bundles.put(file.toString(), bundle);
    }
    return bundles;
  }

  private void check(String name, ObjectNode bundle) {
    int entries = bundle.path("entry").size();
    List<Finding> wrong = wrong(bundle, true);
    Set<Integer> about = new TreeSet<>();
    wrong.forEach(finding -> about.add(finding.entry()));
    int bad = (int) about.stream().filter(entry -> entry != Finding.WHOLE).count();
    boolean whole = !about.contains(Finding.WHOLE);
    failed += bad + (whole ? 0 : 1);
    passed += entries - bad + (whole ? 1 : 0);

    System.out.println((wrong.isEmpty() ? "ok     " : "FAILED ") + name + " (" + entries + " entries)");
    wrong.stream().limit(SHOWN_PER_BUNDLE).forEach(finding -> System.out.println("       " + finding));
    if (wrong.size() > SHOWN_PER_BUNDLE) {
      System.out.println("       and " + (wrong.size() - SHOWN_PER_BUNDLE) + " more");
    }
  }

  /** Errors, and warnings nobody has allowed. */
  private List<Finding> wrong(ObjectNode bundle, boolean count) {
    List<Finding> findings = new ArrayList<>(Rules.check(guide, bundle));
    findings.addAll(guide.validate(bundle));
    List<Finding> wrong = new ArrayList<>();
    for (Finding finding : findings) {
      if (finding.error()) {
        wrong.add(finding);
        continue;
      }
      if (count) {
        warnings.merge(finding.id(), 1, Integer::sum);
      }
      allowed
          .reason(finding)
          .ifPresentOrElse(reason -> reasons.put(finding.id(), reason), () -> wrong.add(finding));
    }
    wrong.sort(Comparator.comparing((Finding finding) -> !finding.error()).thenComparing(Finding::entry));
    return wrong;
  }

  private void printWarnings() {
    warnings.forEach(
        (id, times) ->
            System.out.println("warning " + id + " ×" + times + ": " + reasons.getOrDefault(id, "NOT ALLOWED; mend it, or list it with a reason")));
  }

  private void breakEach(Map<String, ObjectNode> bundles) {
    List<Broken.Good> good = bundles.values().stream().map(Broken.Good::new).toList();
    for (Broken.Good basis : good) {
      wrong(basis.bundle, false).stream()
          .findFirst()
          .ifPresent(
              finding -> {
                throw new Refusal("only a good bundle can be broken; this one has " + finding);
              });
    }
    for (Broken.Mistake mistake : Broken.MISTAKES) {
      Broken.Good basis = good.stream().filter(candidate -> candidate.has(mistake.needs())).findFirst().orElse(null);
      String caughtBy = basis == null ? null : caughtBy(mistake, basis);
      boolean caught = caughtBy != null;
      if (caught) {
        passed++;
      } else {
        failed++;
      }
      String lack = "none of the bundles has a " + mistake.needs().name().toLowerCase(Locale.ROOT) + " to break";
      String how = caught ? caughtBy : basis == null ? lack : "NOT CAUGHT";
      System.out.printf("%-7s %-44s %s%n", caught ? "caught" : "FAILED", mistake.name(), how);
    }
  }

  /** What noticed the mistake; null when nothing did. */
  private String caughtBy(Broken.Mistake mistake, Broken.Good basis) {
    Broken.Good variant = new Broken.Good(basis.bundle);
    mistake.make().accept(variant);
    if (variant.bundle.equals(basis.bundle)) {
      throw new IllegalStateException("`" + mistake.name() + "` changed nothing");
    }
    return wrong(variant.bundle, false).stream().filter(Finding::error).map(Finding::id).findFirst().orElse(null);
  }
}
