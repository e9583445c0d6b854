def test_a_registered_model(numbacnn):
    done = numbacnn("summary", "small", "--size", "32", "--classes", "5")
    assert done.status == 0, done.err
    assert "32" in done.out


def test_a_model_file(numbacnn, trained):
    for extra in ([], ["--plan"]):
        done = numbacnn("summary", trained[0], *extra)
        assert done.status == 0, done.err
        assert done.out
    assert "a model file has its own" in numbacnn("summary", trained[0], "--size", "32").err
