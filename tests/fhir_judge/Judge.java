import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.parser.IParser;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.SingleValidationMessage;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.PrePopulatedValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.UnknownCodeSystemWarningValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.r4.model.CodeSystem;
import org.hl7.fhir.r4.model.CodeSystem.CodeSystemContentMode;
import org.hl7.fhir.r4.model.Enumerations.PublicationStatus;
import org.hl7.fhir.r4.model.Resource;
import org.hl7.fhir.r4.model.StructureDefinition;
import org.hl7.fhir.r4.model.ValueSet;

/**
 * HAPI's instance validator over bundles, one a line of stdin as NAME, tab, JSON; the folder of an
 * IG's definitions is the argument. Each finding is a line: NAME, severity, message id, place, text;
 * a line ending with "judged" closes each bundle, so that silence is never taken for praise.
 */
public final class Judge {
    private static final int AHEAD = 16;
    private static final String HL7 = "http://terminology.hl7.org/CodeSystem/";
    private static final String CDC = "urn:oid:2.16.840.1.113883.6.238";
    private static final PublicationStatus ACTIVE = PublicationStatus.ACTIVE;

    public static void main(String[] arguments) throws Exception {
        FhirValidator validator = validator(Path.of(arguments[0]));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        ExecutorService pool =
                Executors.newFixedThreadPool(Runtime.getRuntime().availableProcessors());
        Deque<Future<String>> waiting = new ArrayDeque<>();
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line; (line = lines.readLine()) != null; ) {
                String given = line;
                waiting.add(pool.submit(() -> judged(validator, given)));
                if (waiting.size() > AHEAD) tell(out, waiting);
            }
        }
        while (!waiting.isEmpty()) tell(out, waiting);
        pool.shutdown();
    }

    private static void tell(PrintStream out, Deque<Future<String>> waiting)
            throws InterruptedException, ExecutionException {
        out.print(waiting.remove().get());
        out.flush();
    }

    private static String judged(FhirValidator validator, String line) {
        int tab = line.indexOf('\t');
        String name = line.substring(0, tab);
        StringBuilder told = new StringBuilder();
        for (SingleValidationMessage each :
                validator.validateWithResult(line.substring(tab + 1)).getMessages()) {
            told.append(String.join("\t", name, each.getSeverity().getCode(),
                    plain(each.getMessageId()), plain(each.getLocationString()),
                    plain(each.getMessage()))).append('\n');
        }
        return told.append(name).append("\tjudged\n").toString();
    }

    private static String plain(String text) {
        return text == null ? "" : text.replaceAll("\\s+", " ");
    }

    private static FhirValidator validator(Path definitions) throws IOException {
        FhirContext context = FhirContext.forR4();
        FhirInstanceValidator module = new FhirInstanceValidator(new ValidationSupportChain(
                new DefaultProfileValidationSupport(context),
                read(context, definitions),
                races(context),
                new CommonCodeSystemsTerminologyService(context),
                new InMemoryTerminologyServerValidationSupport(context),
                new UnknownCodeSystemWarningValidationSupport(context)));
        module.setErrorForUnknownProfiles(true);
        return context.newValidator().registerValidatorModule(module);
    }

    private static PrePopulatedValidationSupport read(FhirContext context, Path folder)
            throws IOException {
        PrePopulatedValidationSupport found = new PrePopulatedValidationSupport(context);
        IParser parser = context.newJsonParser();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, "*-*.json")) {
            for (Path file : files) {
                Resource each = (Resource) parser.parseResource(Files.readString(file));
                if (each instanceof StructureDefinition one) found.addStructureDefinition(one);
                if (each instanceof ValueSet one) found.addValueSet(one);
                if (each instanceof CodeSystem one) found.addCodeSystem(one);
            }
        }
        return found;
    }

    /**
     * Races and ethnicities: US Core binds them to value sets that only a terminology server has.
     * Their codes are HL7's own v3-Race and v3-Ethnicity, under the OID of CDC's system.
     */
    private static PrePopulatedValidationSupport races(FhirContext context) {
        DefaultProfileValidationSupport hl7 = new DefaultProfileValidationSupport(context);
        CodeSystem race = (CodeSystem) hl7.fetchCodeSystem(HL7 + "v3-Race");
        CodeSystem ethnicity = (CodeSystem) hl7.fetchCodeSystem(HL7 + "v3-Ethnicity");
        CodeSystem all = new CodeSystem();
        all.setUrl(CDC).setContent(CodeSystemContentMode.COMPLETE).setStatus(ACTIVE);
        all.setConcept(Stream.concat(race.getConcept().stream(), ethnicity.getConcept().stream())
                .toList());
        PrePopulatedValidationSupport found = new PrePopulatedValidationSupport(context);
        found.addCodeSystem(all);
        Stream.of(
                set("2.16.840.1.114222.4.11.836", CDC, "1002-5 2028-9 2054-5 2076-8 2106-3"),
                set("2.16.840.1.114222.4.11.837", CDC, "2135-2 2186-5"),
                set("2.16.840.1.113883.1.11.14914", CDC, ""),
                set("2.16.840.1.114222.4.11.877", CDC, ""),
                set("2.16.840.1.113883.3.2074.1.1.3", CDC, "1002-5 2028-9 2054-5 2076-8 2106-3"),
                set("2.16.840.1.113762.1.4.1021.102", HL7 + "v3-NullFlavor", "UNK ASKU"),
                set("2.16.840.1.113762.1.4.1021.103", HL7 + "v3-NullFlavor", "UNK ASKU"))
                .forEach(found::addValueSet);
        return found;
    }

    /** A value set of the Value Set Authority Center: these codes of a system, or all of them. */
    private static ValueSet set(String oid, String system, String codes) {
        ValueSet found = new ValueSet();
        found.setUrl("http://cts.nlm.nih.gov/fhir/ValueSet/" + oid).setStatus(ACTIVE);
        ValueSet.ConceptSetComponent included = found.getCompose().addInclude().setSystem(system);
        if (!codes.isEmpty())
            for (String code : codes.split(" ")) included.addConcept().setCode(code);
        return found;
    }
}
