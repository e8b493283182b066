"""Laws of the classifier: a scikit-learn estimator, repeatable, and beside a twin of as many parameters."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from qml.models import ClassicalTwin, HybridClassifier

SMALL = {"n_qubits": 2, "n_layers": 1, "max_epochs": 20, "batch_size": 16}


@parametrize_with_checks([HybridClassifier(**SMALL), ClassicalTwin(**SMALL)])
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)
