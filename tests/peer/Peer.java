import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.*;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.*;
import java.io.File;
import java.nio.file.*;
import java.util.*;
import java.util.stream.*;
import org.apache.flink.configuration.*;
import org.apache.flink.runtime.minicluster.*;
import org.apache.flink.table.api.*;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/** Asks Flink: takes the questions that ask.py makes, writes them back with Flink's answers. Runs jobs inside this process. */
public class Peer {
  static final ObjectMapper JSON = new ObjectMapper();

  /** One cluster for all jobs: starting one costs seconds. */
  static MiniCluster cluster;

  static void start() throws Exception {
    Configuration c = new Configuration();
    c.setString("rest.port", "0");
    c.setString("rest.bind-port", "0");
    c.setString("restart-strategy.type", "none");
    cluster = new MiniCluster(new MiniClusterConfiguration.Builder().setConfiguration(c).setNumTaskManagers(1).setNumSlotsPerTaskManager(1).build());
    cluster.start();
  }

  static TableEnvironment environment(String mode, JsonNode settings) throws Exception {
    Configuration c = new Configuration();
    c.setString("execution.runtime-mode", mode);
    c.setString("parallelism.default", "1");
    c.setString("table.exec.resource.default-parallelism", "1");
    c.setString("table.local-time-zone", "UTC");
    c.setString("execution.target", "remote");
    c.setString("rest.address", cluster.getRestAddress().get().getHost());
    c.setString("rest.port", String.valueOf(cluster.getRestAddress().get().getPort()));
    if (settings != null) settings.fields().forEachRemaining(e -> c.setString(e.getKey(), e.getValue().asText()));
    return TableEnvironment.create(EnvironmentSettings.newInstance().withConfiguration(c).build());
  }

  /** The innermost message, one line of it. */
  static String reason(Throwable t) {
    while (t.getCause() != null && t.getCause() != t) t = t.getCause();
    String m = t.getClass().getSimpleName() + ": " + t.getMessage();
    return m.lines().findFirst().orElse("").strip().replaceAll("/\\S*/(\\S+)", "$1");
  }

  static List<Row> rows(Table table) throws Exception {
    List<Row> rows = new ArrayList<>();
    try (CloseableIterator<Row> i = table.execute().collect()) { i.forEachRemaining(rows::add); }
    return rows;
  }

  static String shown(Object field) {
    String row = Row.of(field).toString();
    return row.substring(3, row.length() - 1);
  }

  /** Evaluates many expressions in one job; halves the list where one of them fails. */
  static void evaluate(TableEnvironment env, List<ObjectNode> cases) {
    if (cases.isEmpty()) return;
    try {
      String select = IntStream.range(0, cases.size()).mapToObj(i -> cases.get(i).get("sql").asText() + " AS x" + i).collect(Collectors.joining(",\n "));
      List<Row> rows = rows(env.sqlQuery("SELECT " + select + "\nFROM src"));
      for (int i = 0; i < cases.size(); i++) {
        ArrayNode values = cases.get(i).putArray("values");
        for (Row row : rows) values.add(shown(row.getField(i)));
      }
    } catch (Throwable t) {
      if (cases.size() == 1) { cases.get(0).put("failed", reason(t)); return; }
      evaluate(env, cases.subList(0, cases.size() / 2));
      evaluate(env, cases.subList(cases.size() / 2, cases.size()));
    }
  }

  static void expressions(JsonNode in) throws Exception {
    TableEnvironment env = environment("BATCH", null);
    env.executeSql(in.get("source").asText());
    List<ObjectNode> valid = new ArrayList<>();
    for (JsonNode n : in.get("expressions")) {
      ObjectNode c = (ObjectNode) n;
      try {
        Table t = env.sqlQuery("SELECT " + c.get("sql").asText() + " AS x FROM src");
        c.put("type", t.getResolvedSchema().getColumnDataTypes().get(0).getLogicalType().asSummaryString());
        valid.add(c);
      } catch (Throwable t) { c.put("refused", reason(t)); }
    }
    for (int i = 0; i < valid.size(); i += 40) {
      evaluate(env, valid.subList(i, Math.min(i + 40, valid.size())));
      System.err.println(Math.min(i + 40, valid.size()) + " of " + valid.size() + " expressions");
    }
  }

  /** Statements, then one query; its rows in order, with their kinds, as PrintTableSink shows them. */
  static void queries(JsonNode in) throws Exception {
    for (JsonNode n : in.get("queries")) {
      ObjectNode c = (ObjectNode) n;
      try {
        TableEnvironment env = environment(c.get("mode").asText(), c.get("settings"));
        for (JsonNode ddl : c.get("ddl")) env.executeSql(ddl.asText());
        Table t = env.sqlQuery(c.get("sql").asText());
        ArrayNode types = JSON.createArrayNode();
        t.getResolvedSchema().getColumns().forEach(k -> types.add(k.getName() + " " + k.getDataType().getLogicalType().asSerializableString()));
        c.set("types", types);
        ArrayNode rows = JSON.createArrayNode();
        try (CloseableIterator<Row> i = t.execute().collect()) { i.forEachRemaining(r -> rows.add(r.toString())); c.set("rows", rows); }
        catch (Throwable e) { c.set("rows", rows); throw e; }
      } catch (Throwable t) { c.put(c.has("rows") ? "failed" : "refused", reason(t)); }
      System.err.println(c.get("name").asText() + (c.has("failed") ? " failed" : c.has("refused") ? " refused" : ""));
    }
  }

  /** An INSERT into files; what they hold. */
  static void writes(JsonNode in) throws Exception {
    for (JsonNode n : in.get("writes")) {
      ObjectNode c = (ObjectNode) n;
      Path dir = Files.createTempDirectory("peer");
      try {
        TableEnvironment env = environment(c.path("mode").asText("BATCH"), c.get("settings"));
        for (JsonNode ddl : c.get("ddl")) env.executeSql(ddl.asText().replace("@DIR@", dir.toString()));
        env.executeSql(c.get("sql").asText().replace("@DIR@", dir.toString())).await();
        StringBuilder text = new StringBuilder();
        for (File f : Arrays.stream(dir.toFile().listFiles()).sorted().toList()) if (f.isFile() && !f.getName().startsWith(".")) text.append(Files.readString(f.toPath()));
        c.put("text", text.toString());
      } catch (Throwable t) { c.put("failed", reason(t)); }
      System.err.println(c.get("name").asText() + (c.has("failed") ? " failed" : ""));
    }
  }

  public static void main(String[] a) throws Exception {
    JsonNode in = JSON.readTree(new File(a[0]));
    start();
    if (in.has("expressions")) expressions(in);
    if (in.has("queries")) queries(in);
    if (in.has("writes")) writes(in);
    JSON.writeValue(new File(a[1]), in);
    System.exit(0);
  }
}
