use super::*;
use crate::snapshot::testing::manifests_from;

fn policies(defined: &[(&str, &str, &str)]) -> Policies {
    let entries: Vec<String> = defined
        .iter()
        .enumerate()
        .map(|(i, (target, modified, policy))| {
            let Source { host, user, path } = target.parse().unwrap();
            let (kind, labels) = match (host.as_str(), user.as_str(), path.as_str()) {
                ("", "", "") => ("global", String::new()),
                (_, "", "") => ("host", format!(r#","hostname":"{host}""#)),
                (_, _, "") => ("user", format!(r#","hostname":"{host}","username":"{user}""#)),
                _ => ("path", format!(r#","hostname":"{host}","username":"{user}","path":"{path}""#)),
            };
            format!(
                r#"{{"id":"p{i}","labels":{{"type":"policy","policyType":"{kind}"{labels}}},"modified":"{modified}","data":{policy}}}"#
            )
        })
        .collect();
    Policies::new(&manifests_from(&entries))
}

fn effective(defined: &[(&str, &str)], target: &str) -> String {
    let defined: Vec<_> =
        defined.iter().map(|(target, policy)| (*target, "2025-01-01T00:00:00Z", *policy)).collect();
    policies(&defined).effective(&target.parse().unwrap()).unwrap().to_kopia_json().unwrap()
}

const DEFAULTS: &str = r#"{"retention":{"keepLatest":10,"keepHourly":48,"keepDaily":7,"keepWeekly":4,"keepMonthly":24,"keepAnnual":3,"ignoreIdenticalSnapshots":false},"files":{"ignoreDotFiles":[".kopiaignore"]},"errorHandling":{"ignoreFileErrors":false,"ignoreDirectoryErrors":false,"ignoreUnknownTypes":true},"scheduling":{"runMissed":true},"compression":{"compressorName":"none"},"metadataCompression":{"compressorName":"zstd-fastest"},"splitter":{},"actions":{},"osSnapshots":{"volumeShadowCopy":{"enable":0}},"logging":{"directories":{"snapshotted":5,"ignored":5},"entries":{"snapshotted":0,"ignored":5,"cacheHit":0,"cacheMiss":0}},"upload":{"maxParallelSnapshots":1,"parallelUploadAboveSize":2147483648}}"#;

const EMPTY: &str = r#"{"retention":{},"files":{},"errorHandling":{},"scheduling":{},"compression":{},"metadataCompression":{},"splitter":{},"actions":{},"osSnapshots":{"volumeShadowCopy":{}},"logging":{"directories":{},"entries":{}},"upload":{}"#;

#[test]
fn vectors() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../format-spec/vectors/retention.json")).unwrap();
    let cases = vectors["effective"].as_array().unwrap();
    assert!(cases.len() >= 8);
    for case in cases {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let defined: Vec<(String, String, String)> = case["policies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| (text(&p["target"]), text(&p["modified"]), p["policy"].to_string()))
            .collect();
        let defined: Vec<_> = defined.iter().map(|(t, m, p)| (t.as_str(), m.as_str(), p.as_str())).collect();
        let source = &case["source"];
        let source = Source::new(text(&source["user"]), text(&source["host"]), text(&source["path"]));
        let policy = policies(&defined).effective(&source).unwrap();
        let expected = Retention::by_name(|name| case["effective"][name].as_i64());
        assert_eq!(policy.retention(), expected, "{}", case["name"]);
        assert_eq!(policies(&defined).retention(&source), expected, "{}", case["name"]);
    }
}

#[test]
fn nothing_defined_means_the_defaults() {
    assert_eq!(effective(&[], "u@h:/p"), DEFAULTS);
    assert_eq!(effective(&[], "(global)"), DEFAULTS);
}

#[test]
fn every_kind_of_setting_is_inherited_its_way() {
    let defined = [
        (
            "u@h:/a/b",
            r#"{"compression":{"neverCompress":[".z",".a",".z"],"onlyCompress":[".one"],"noParentOnlyCompress":true},
                "scheduling":{"timeOfDay":[{"hour":9,"min":5},{"hour":1}]},"actions":{"afterFolder":{"path":"own"}}}"#,
        ),
        (
            "u@h:/a",
            r#"{"compression":{"neverCompress":[".m"],"onlyCompress":[".two"],"minSize":0},"files":{"ignore":["x"],"maxFileSize":7},
                "scheduling":{"timeOfDay":[{"hour":1,"min":0}],"noParentTimeOfDay":true,"manual":true},
                "actions":{"afterFolder":{"path":"parents"},"beforeSnapshotRoot":{"script":"s","timeout":5,"mode":"async","args":["-x",null]}}}"#,
        ),
        (
            "(global)",
            r#"{"files":{"ignore":["y"],"maxFileSize":8},"scheduling":{"timeOfDay":[{"hour":2}]},"compression":{"minSize":3,"compressorName":"zstd"},
                "splitter":{"algorithm":"FIXED-1M"},"upload":{"maxParallelFileReads":4},"errorHandling":{"ignoreUnknownTypes":false}}"#,
        ),
    ];
    let json: serde_json::Value = serde_json::from_str(&effective(&defined, "u@h:/a/b")).unwrap();
    for (pointer, expected) in [
        (
            "/compression",
            r#"{"compressorName":"zstd","onlyCompress":[".one"],"noParentOnlyCompress":true,"neverCompress":[".a",".m",".z"],"minSize":3}"#,
        ),
        (
            "/scheduling",
            r#"{"timeOfDay":[{"hour":1,"min":0},{"hour":9,"min":5}],"noParentTimeOfDay":true,"manual":true,"runMissed":true}"#,
        ),
        ("/files", r#"{"ignore":["x"],"ignoreDotFiles":[".kopiaignore"],"maxFileSize":7}"#),
        (
            "/actions",
            r#"{"afterFolder":{"path":"own"},"beforeSnapshotRoot":{"args":["-x",""],"script":"s","timeout":5,"mode":"async"}}"#,
        ),
        ("/splitter", r#"{"algorithm":"FIXED-1M"}"#),
        ("/upload/maxParallelFileReads", "4"),
        ("/errorHandling/ignoreUnknownTypes", "false"),
    ] {
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(json.pointer(pointer), Some(&expected), "{pointer}");
    }
}

#[test]
fn no_parent_ends_inheritance_and_defaults() {
    let defined = [
        ("u@h", r#"{"noParent":true,"retention":{"keepLatest":0}}"#),
        ("(global)", r#"{"files":{"ignore":["x"]}}"#),
    ];
    let expected = format!("{}}}", EMPTY.replacen("{}", r#"{"keepLatest":0}"#, 1));
    assert_eq!(effective(&defined, "u@h:/p"), expected);
}

#[test]
fn policies_are_listed_as_kopia_does() {
    let time = "2025-01-01T00:00:00Z";
    let all = policies(&[
        ("v@h:/p", time, r#"{"noParent":true}"#),
        ("@h", time, r#"{"Files":{"IGNORE":["<"]}}"#),
        ("(global)", time, "null"),
    ]);
    let targets: Vec<String> = all.all().iter().map(|p| p.target.to_string()).collect();
    assert_eq!(targets, ["(global)", "@h", "v@h:/p"]);
    let rest = EMPTY.trim_start_matches('{');
    assert_eq!(
        all.get("p0").unwrap().listed().unwrap().to_kopia_json().unwrap(),
        format!(r#"{{"id":"p0","target":{{"host":"h","userName":"v","path":"/p"}},{rest},"noParent":true}}"#)
    );
    let files = all.get("p1").unwrap().listed().unwrap().to_kopia_json().unwrap();
    assert!(files.contains(r#""files":{"ignore":["\u003c"]}"#), "{files}");
    assert!(all.get("p9").is_none());
}

#[test]
fn what_cannot_be_parsed_is_an_error_only_where_it_applies() {
    let time = "2025-01-01T00:00:00Z";
    for bad in [
        "[]",
        "7",
        r#"{"retention":[]}"#,
        r#"{"retention":{"keepLatest":"1"}}"#,
        r#"{"retention":{"keepLatest":1.5}}"#,
        r#"{"files":{"ignore":"x"}}"#,
        r#"{"scheduling":{"timeOfDay":[1]}}"#,
        r#"{"scheduling":{"manual":1}}"#,
        r#"{"actions":{"afterFolder":[]}}"#,
        r#"{"osSnapshots":{"volumeShadowCopy":1}}"#,
        r#"{"noParent":1}"#,
    ] {
        let all = policies(&[("u@h", time, bad)]);
        let error = all.effective(&"u@h:/p".parse().unwrap()).unwrap_err();
        assert_eq!((error.code(), error.snapshot().unwrap().as_str()), ("manifest-invalid", "p0"), "{bad}");
        assert!(all.get("p0").unwrap().listed().is_err());
        assert!(all.effective(&"v@h:/p".parse().unwrap()).is_ok());
        let problems: Vec<_> = all.problems().map(|error| error.code()).collect();
        assert_eq!(problems, ["manifest-invalid"]);
        assert_eq!(all.retention(&"u@h:/p".parse().unwrap()).latest, Some(10));
    }
    let nulls = r#"{"retention":{"keepLatest":null},"files":null,"noParent":null,"osSnapshots":{"volumeShadowCopy":null}}"#;
    assert_eq!(effective(&[("u@h", nulls)], "u@h:/p"), DEFAULTS);
}
